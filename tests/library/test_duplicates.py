"""lorarar.library.duplicates: every sort of version, and nothing between unrelated LoRAs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lorarar.library import duplicates
from lorarar.library.duplicates import candidate_pairs, judge_pair
from lorarar.library.products import measure_pair
from lorarar.lora import LoRA, LowRank, concat, truncate_lora
from tests.library.test_fingerprints import regauged
from tests.tiny import factors


def lora(seed: int, rank: int = 4) -> LoRA:
    """A LoRA whose singular values fall, as trained ones do."""
    layers = {}
    for i in range(4):
        f = factors(64, 48, rank, seed=seed * 10 + i)
        layers[f"mid_block.{i}.to_q"] = LowRank(f.B * 0.5 ** torch.arange(rank), f.A)
    return LoRA(layers)


def each(change: object, *loras: LoRA) -> LoRA:
    return LoRA({path: change(*(one.layers[path] for one in loras)) for path in loras[0].layers})  # type: ignore[operator]


A, B, C = lora(0), lora(1), lora(2)
NOISE = lora(3)


@pytest.mark.parametrize(
    ("expected", "second"),
    [
        ("same weights", each(regauged, A)),
        ("same weights", A.to(dtype=torch.float16)),
        ("rescaled", each(lambda f: replace(f, scale=0.5), A)),
        ("resized", truncate_lora(A, rank=2)[0]),
        ("other version", each(lambda f, n: concat([f, replace(n, scale=0.3)]), A, NOISE)),
        (None, B),
        (None, each(lambda f: replace(f, scale=-1.0), A)),
    ],
)
def test_versions(expected: str | None, second: LoRA) -> None:
    assert judge_pair(measure_pair(A, second)) == expected


def test_a_merge_contains_its_inputs() -> None:
    merge = each(lambda a, b, c: concat([a, replace(b, scale=0.8), replace(c, scale=0.6)]), A, B, C)
    assert [judge_pair(measure_pair(merge, one)) for one in (A, B, C, NOISE)] == ["contained"] * 3 + [None]
    strong = each(lambda a, b: concat([a, replace(b, scale=0.4)]), A, B)
    assert judge_pair(measure_pair(strong, A)) == "contained"  # although the cosine is that of a version
    columns = each(lambda a, b: concat([LowRank(a.B, a.A * torch.linspace(0.1, 1, 48)), b]), A, B)
    assert judge_pair(measure_pair(columns, A)) == "contained"


def test_candidates_are_pairs_of_similar_sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    sketches = random.standard_normal((50, 256)).astype(np.float32)
    sketches[7] = sketches[30] * 2 + 0.5 * sketches[2]
    sketches[9] = 0
    for rows in (2048, 4):
        monkeypatch.setattr(duplicates, "_ROWS", rows)
        assert list(candidate_pairs(np.arange(50) + 100, sketches)) == [(107, 130)]
