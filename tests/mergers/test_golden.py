"""Golden files: a merge by concatenation has the same bytes on every machine, in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lorarar.formats import writing
from lorarar.formats.writing import Format, save
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.combination import combine
from lorarar.mergers.request import MergeRequest
from lorarar.storage.hashing import sha256

_ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
_CONVOLUTION = "down_blocks.0.resnets.0.conv1"


def _lora(name: str, seed: int, rank: int, scale: float) -> LoRA:
    """Return a LoRA for Stable Diffusion 1 whose weights are multiples of 1/64 in [-1, 1], which fp16 holds exactly."""
    # RandomState's stream never changes between versions of numpy; that of a Generator may.
    integers = np.random.RandomState(seed)

    def factor(rows: int, columns: int) -> Tensor:
        return torch.from_numpy(integers.randint(-64, 65, (rows, columns)) / 64).half()

    layers = {
        _ATTENTION: LowRank(factor(320, rank), factor(rank, 320), scale),
        _CONVOLUTION: LowRank(factor(320, rank), factor(rank, 2880), scale, (3, 3)),
    }
    return LoRA(layers, name=name, family="sd15")


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("kohya", "82b6046b7cba1aa4945db40f7f40f242284e103167c089aea77d2f14e8a2a4d6"),
        ("diffusers", "4fa2ba61594e36218561bb65469224ea5b6a05daa1789f9bf3c7d6628e82469a"),
        ("peft", "45ce5f334279eabdc24557ce1bc1dc678c3f94d46e6cab62e1758e22904399d7"),
    ],
)
def test_a_merge_by_concatenation_has_fixed_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format, expected: str
) -> None:
    monkeypatch.setattr(writing, "lorarar_version", lambda: "0")  # the header holds it, and releases change it
    loras = [_lora("content", seed=1, rank=2, scale=0.5), _lora("style", seed=2, rank=3, scale=1.0)]
    merged = combine(loras, MergeRequest(merger="direct")).lora
    (weights, *_) = save(merged, tmp_path / ("merged" if format == "peft" else "merged.safetensors"), format=format)
    assert sha256(weights) == expected
