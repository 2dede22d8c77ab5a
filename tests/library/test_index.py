"""lorarar.library.index: folders, moved and changed files, failures, two processes, search and removal."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lorarar import load, save
from lorarar.library import Filter, Library
from lorarar.library.adding import Added
from lorarar.lora import LoRA, concat, truncate_lora
from lorarar.storage import FormatError
from tests.tiny import two_block_lora


def write(path: Path, seed: int, rank: int = 2, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(two_block_lora(rank, seed=seed), path, metadata=metadata, force=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    loras = tmp_path / "loras"
    write(loras / "cat.safetensors", 1, kind="content", phrase="a sks cat")
    write(loras / "oil.safetensors", 2, kind="style", phrase="oil painting style")
    write(loras / "deep" / "dog.safetensors", 3, 4, kind="content", phrase="a sks dog")
    (loras / "broken.safetensors").write_bytes(b"PK\x03\x04 no weights")
    (loras / ".hidden").mkdir()
    shutil.copy(loras / "cat.safetensors", loras / ".hidden" / "x.safetensors")
    return loras


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Library:
    library = Library(tmp_path / "index.sqlite")
    library.add([folder])
    return library


def counts(added: Added) -> tuple[int, int, int, int, int]:
    return added.new, added.copies, added.unchanged, added.gone, len(added.failed)


def test_only_new_and_changed_files_are_read(folder: Path, tmp_path: Path) -> None:
    with Library(tmp_path / "index.sqlite") as library:
        added = library.add([folder, folder / "deep"])
        assert counts(added) == (3, 0, 0, 0, 1)
        assert "a pickled checkpoint or another ZIP archive, not a safetensors file" in added.text()
        assert counts(library.add([folder])) == (0, 0, 4, 0, 0)
        assert counts(library.add([folder], again=True)) == (0, 0, 3, 0, 1)
        (folder / "oil.safetensors").rename(folder / "paint.safetensors")
        shutil.copy(folder / "cat.safetensors", folder / "copy.safetensors")
        assert counts(library.add([folder])) == (0, 2, 3, 1, 0)
        assert library.find("oil").paths == (str(folder / "paint.safetensors"),)
        assert [(d.sort, Path(d.second).name) for d in library.duplicates()] == [("same bytes", "copy.safetensors")]
        write(folder / "cat.safetensors", 9)
        assert counts(library.add([folder])) == (1, 0, 4, 0, 0)
        write(folder / "broken.safetensors", 10)
        assert counts(library.add([folder])) == (1, 0, 4, 0, 0)
        assert library.failures() == {}
    with pytest.raises(FileNotFoundError, match="expected a folder or a LoRA file at .*nowhere, found none"):
        Library(tmp_path / "index.sqlite").add([tmp_path / "nowhere"])


def test_an_entry_says_what_the_file_is(library: Library) -> None:
    entry = library.find("dog")
    assert (entry.kind, entry.probability, entry.rank, entry.layers) == ("content", 1.0, 4, 8)
    assert entry.triggers == ("a sks dog",)
    assert entry.norm == pytest.approx(
        sum(float(d.delta().norm()) ** 2 for d in load(entry.path).layers.values()) ** 0.5, rel=1e-3
    )
    assert library.find(entry.path) == library.find(entry.sha256[:8]) == entry
    assert len(library) == len(list(library)) == 3
    summary = library.summary()
    assert (summary["entries"], summary["files"], summary["unreadable"]) == (3, 3, 1)
    assert summary["kind"] == "content 2, style 1"
    assert any(path.endswith("broken.safetensors") for path in summary)


def test_unknown_and_ambiguous_entries_are_refused(library: Library, folder: Path) -> None:
    with pytest.raises(KeyError, match="expected the path, name or hash of an entry, found 'dg': did you mean 'dog'?"):
        library.find("dg")
    with pytest.raises(KeyError, match="expected the path"):
        library.neighbours("*")
    write(folder / "other" / "cat.safetensors", 20)
    library.add([folder])
    with pytest.raises(KeyError, match="expected one entry, found 2 named cat"):
        library.find("cat")
    assert library.find(folder / "other" / "cat.safetensors").rank == 2


def test_search_by_words_and_conditions(library: Library, folder: Path) -> None:
    assert [entry.name for entry in library.search("SKS")] == ["cat", "dog"]
    assert [entry.name for entry in library.search("oil style")] == ["oil"]
    assert library.search("100%_x") == []
    assert [entry.name for entry in library.search(where=Filter(kind="content", rank=4))] == ["dog"]
    write(folder / "a_dog_friend.safetensors", 30, phrase="szn")
    write(folder / "aaa.safetensors", 31, phrase="a dog")
    library.add([folder])
    assert [entry.name for entry in library.search("dog")] == ["a_dog_friend", "dog", "aaa"]  # names before texts


def test_neighbours(library: Library, folder: Path) -> None:
    cat = load(folder / "cat.safetensors")
    near = LoRA(
        {path: concat([f, replace(two_block_lora(1, 0.3, seed=70).layers[path])]) for path, f in cat.layers.items()}  # type: ignore[list-item, type-var]
    )
    save(near, folder / "near.safetensors")
    library.add([folder])
    for lora in (folder / "cat.safetensors", "cat", cat):
        for by in ("direction", "sketch", "spectrum"):
            names = [hit.entry.name for hit in library.neighbours(lora, by=by, count=3)]
            assert sorted(names) == ["dog", "near", "oil"]
            assert names[0] == "near" or by == "spectrum"
    exact = library.neighbours("cat", count=3, exact=True)
    assert exact[0].similarity == pytest.approx(0.97, abs=0.03)
    assert [hit.similarity for hit in exact] == sorted((hit.similarity for hit in exact), reverse=True)
    assert library.neighbours(two_block_lora(2, seed=1), count=1)[0].entry.name == "cat"  # in memory, without a hash
    assert library.neighbours("cat", where=Filter(kind="style"), count=5)[0].entry.name == "oil"
    with pytest.raises(ValueError, match="expected a fingerprint among direction, .*found 'sketsh': did you mean"):
        library.neighbours("cat", by="sketsh")
    with pytest.raises(ValueError, match="expected the fingerprint 'look' of cat, found none: add it, then draw"):
        library.neighbours("cat", by="look")
    with pytest.raises(ValueError, match="expected `diversity` between 0 and 1, found 2"):
        library.neighbours("cat", diversity=2)


def test_other_families_are_no_neighbours(library: Library) -> None:
    library.execute("UPDATE entries SET family = 'sdxl' WHERE name = 'dog'")
    assert [hit.entry.name for hit in library.neighbours("dog")] == []
    assert {hit.entry.name for hit in library.neighbours("cat")} == {"oil"}


def test_duplicates_and_attribution_read_the_files(library: Library, folder: Path) -> None:
    loras = [load(folder / name) for name in ("cat.safetensors", "oil.safetensors")]
    merged = LoRA(
        {path: concat([replace(f, scale=0.5), loras[1].layers[path]]) for path, f in loras[0].layers.items()}  # type: ignore[list-item, type-var]
    )
    save(merged, folder / "merged.safetensors")
    save(truncate_lora(load(folder / "deep" / "dog.safetensors"), rank=3)[0], folder / "small.safetensors")
    save(load(folder / "cat.safetensors"), folder / "kohya.safetensors", format="kohya")
    library.add([folder])
    found = {(d.sort, *sorted((Path(d.first).stem, Path(d.second).stem))) for d in library.duplicates()}
    assert ("same weights", "cat", "kohya") in found
    assert ("resized", "dog", "small") in found
    result = library.attribute(folder / "merged.safetensors")
    assert {Path(share.name).stem: round(share.weight, 2) for share in result.shares if share.weight > 0.01} in (
        {"cat": 0.5, "oil": 1.0},
        {"kohya": 0.5, "oil": 1.0},
    )
    (folder / "merged.safetensors").unlink()
    assert library.read(library.find("merged")) is None


def test_removal_and_missing_files(library: Library, folder: Path) -> None:
    (folder / "oil.safetensors").unlink()
    assert library.remove(["cat"], missing=True) == 2
    assert [entry.name for entry in library] == ["dog"]
    assert (folder / "cat.safetensors").exists()
    assert len(library.all_vectors("sketch")[0]) == 1
    assert counts(library.add([folder])) == (1, 0, 2, 0, 0)


def test_clusters_are_named_by_their_centre(library: Library, folder: Path) -> None:
    for i in range(3):
        write(folder / f"more{i}.safetensors", 100 + i)
    library.add([folder])
    clusters = library.cluster(count=3)
    assert [len(cluster.entries) for cluster in clusters] == sorted((len(c.entries) for c in clusters), reverse=True)
    assert {entry.name for cluster in clusters for entry in cluster.entries} == {entry.name for entry in library}
    assert all(cluster.name in [entry.name for entry in cluster.entries] for cluster in clusters)
    assert library.cluster(where=Filter(rank=77)) == []


@pytest.mark.slow
def test_two_processes_add_at_once_and_one_is_killed(tmp_path: Path) -> None:
    for i in range(24):
        write(tmp_path / "loras" / f"{i:02d}.safetensors", i)
    code = "import sys; from lorarar.library import Library; Library(sys.argv[1]).add([sys.argv[2]])"
    words = [sys.executable, "-c", code, str(tmp_path / "i.sqlite"), str(tmp_path / "loras")]
    first, second = (subprocess.Popen(words) for _ in range(2))
    with Library(tmp_path / "i.sqlite") as library:
        while len(library) == 0 and first.poll() is None:
            time.sleep(0.05)
        first.kill()
        first.wait()
        assert second.wait() == 0
        library.add([tmp_path / "loras"])
        assert len(library) == 24
        assert all(len(library.all_vectors(name)[0]) == 24 for name in ("direction", "sketch", "spectrum"))
        assert library.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_no_index_is_refused(tmp_path: Path, library: Library) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(FormatError, match="is not an index of LoRA files .*: give another `index`"):
        Library(tmp_path / "text")
    with pytest.raises(FormatError, match="its folder does not exist, create it first"):
        Library(tmp_path / "nowhere" / "index.sqlite")
    library.execute("UPDATE settings SET value = '0'")
    library.close()
    with pytest.raises(FormatError, match="holds fingerprints of version 0, expected 2: add folders to a new index"):
        Library(tmp_path / "index.sqlite")


def test_a_failed_batch_leaves_nothing(library: Library) -> None:
    def write_half() -> None:
        with library.transaction():
            library.set_vector(1, "sketch", np.zeros(4, np.float32))
            library.execute("INSERT INTO entries (name) VALUES ('x')")  # columns are missing

    with pytest.raises(sqlite3.IntegrityError):
        write_half()
    assert len(library.vector("sketch", 1)) == 256  # type: ignore[arg-type]
