"""lorarar.library.approximate: the graph's neighbours against exact search, its upkeep, and life without usearch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lorarar.library import Filter, Library, approximate
from lorarar.library.approximate import find_candidates, graph_path, update_graph
from lorarar.library.search import nearest
from tests.library.test_index import write


def fill(library: Library, count: int, first: int = 0) -> None:
    """Add entries without files whose codes are noisy copies of twenty codes."""
    random = np.random.default_rng(first)
    centres = np.random.default_rng(99).integers(0, 2, (20, 16384), np.uint8)
    values = dict.fromkeys(("dialect", "algorithm", "kind", "text"), "") | {"family": "sdxl", "triggers": "[]"}
    values |= dict.fromkeys(("rank", "layers", "norm", "probability"), 0)  # type: ignore[arg-type]
    with library.transaction():
        for number in range(first, first + count):
            code = np.packbits(centres[number % 20] ^ (random.random(16384) < random.uniform(0.05, 0.4)))
            vectors = {"direction": code, "sketch": np.ones(256, np.float32)}
            library.add_entry({**values, "sha256": str(number), "name": str(number)}, vectors)


def test_the_graph_finds_the_neighbours_of_exact_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("usearch", reason="needs the extra `search`: pip install 'lorarar[search]'")
    monkeypatch.setattr(approximate, "LEAST", 300)
    with Library(tmp_path / "index.sqlite") as library:
        fill(library, 299)
        update_graph(library)
        assert not graph_path(library).exists()
        fill(library, 101, first=299)
        update_graph(library)
        ids, codes = library.all_vectors("direction")
        shares = []
        for i in range(20):
            candidates = find_candidates(library, codes[i], 10)
            assert candidates is not None
            shares.append(np.isin(nearest([(ids, codes)], codes[i], 10).ids, candidates).mean())
        assert np.mean(shares) > 0.95
        fill(library, 1, first=400)
        assert find_candidates(library, codes[0], 10) is None  # the graph lacks an entry: exact search
        expected = [hit.entry.name for hit in library.neighbours("7")]
        update_graph(library)
        assert find_candidates(library, library.all_vectors("direction")[1][400], 1)[0] == 401  # type: ignore[index]
        assert [hit.entry.name for hit in library.neighbours("7")] == expected
        assert library.neighbours("7", where=Filter(rank=3)) == []
        library.remove([*expected[:1], "400"])
        update_graph(library)
        assert [hit.entry.name for hit in library.neighbours("7", count=9)] == expected[1:]


def test_without_usearch_every_search_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "LEAST", 2)
    monkeypatch.setattr(approximate, "find_spec", lambda name: None)
    with Library(tmp_path / "index.sqlite") as library:
        for i in range(3):
            write(tmp_path / "loras" / f"{i}.safetensors", i)
        library.add([tmp_path / "loras"])
        assert not graph_path(library).exists()
        graph_path(library).touch()
        assert find_candidates(library, np.zeros(2048, np.uint8), 1) is None
        assert len(library.neighbours("0")) == 2
