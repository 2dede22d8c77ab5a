"""lorarar.formats.inspection.comparison against dense numpy arithmetic."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lorarar.formats.inspection.comparison import compare_files, compare_loras
from lorarar.formats.writing import save
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from tests.tiny import factors, two_block_lora

OUT, IN = 12, 9
few = settings(max_examples=25, deadline=None, derandomize=True)


def array(layer: Layer) -> np.ndarray:
    return layer.delta().double().numpy()


def basis(delta: np.ndarray, rank: int) -> np.ndarray:
    """Return an orthonormal basis of the row space, (in, rank)."""
    return np.linalg.svd(delta)[2][:rank].T


def mean_squared_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.linalg.svd(a.T @ b, compute_uv=False) ** 2).mean())


@few
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1.0, -0.4]))
def test_angles_are_those_of_the_dense_deltas(rank_a: int, rank_b: int, scale: float) -> None:
    a = {"x": factors(OUT, IN, rank_a, scale, 1, torch.float64), "y": factors(IN, IN, 2, 1.0, 2, torch.float64)}
    b = {"x": factors(OUT, IN, rank_b, 0.7, 3, torch.float64), "y": factors(IN, IN, 3, 1.0, 4, torch.float64)}
    comparison = compare_loras(LoRA(a), LoRA(b))
    x, y = comparison.overlaps
    da, db = array(a["x"]), array(b["x"])
    assert x.cosine == pytest.approx((da * db).sum() / np.linalg.norm(da) / np.linalg.norm(db))
    assert x.inputs == pytest.approx(mean_squared_cosine(basis(da, rank_a), basis(db, rank_b)))
    assert x.outputs == pytest.approx(mean_squared_cosine(basis(da.T, rank_a), basis(db.T, rank_b)))
    assert x.inputs_by_chance == pytest.approx(max(rank_a, rank_b) / IN)
    assert x.outputs_by_chance == pytest.approx(max(rank_a, rank_b) / OUT)
    whole_a = np.concatenate([da.ravel(), array(a["y"]).ravel()])
    whole_b = np.concatenate([db.ravel(), array(b["y"]).ravel()])
    assert comparison.norms == pytest.approx((np.linalg.norm(whole_a), np.linalg.norm(whole_b)))
    assert comparison.cosine == pytest.approx(whole_a @ whole_b / np.linalg.norm(whole_a) / np.linalg.norm(whole_b))
    assert x.share + y.share == pytest.approx(comparison.cosine)


@pytest.mark.parametrize("dense", [(False, True), (True, False), (True, True)])
def test_dense_deltas_have_an_angle_and_no_subspace(dense: tuple[bool, bool]) -> None:
    thin = factors(OUT, IN, 3, -0.5, 1), factors(OUT, IN, 2, 2.0, 2)
    a, b = (Dense(f.delta()) if is_dense else f for f, is_dense in zip(thin, dense, strict=True))
    (comparison,) = compare_loras(LoRA({"x": a}), LoRA({"x": b})).overlaps
    da, db = array(thin[0]), array(thin[1])
    assert comparison.cosine == pytest.approx((da * db).sum() / np.linalg.norm(da) / np.linalg.norm(db), rel=1e-5)
    assert (comparison.inputs, comparison.outputs) == (None, None)


def test_vectors_have_an_angle() -> None:
    a, b = Dense(torch.tensor([3.0, 4.0])), Dense(torch.tensor([4.0, 3.0]))
    (comparison,) = compare_loras(LoRA({"norm": a}), LoRA({"norm": b})).overlaps
    assert comparison.cosine == pytest.approx(24 / 25)


def test_a_lora_overlaps_fully_with_itself_for_any_factors() -> None:
    f = factors(OUT, IN, 3, 0.5, dtype=torch.float64)
    g = torch.eye(3, dtype=torch.float64) * 3 + torch.ones(3, 3, dtype=torch.float64)
    padded = LowRank(torch.cat([f.B @ g, f.B], 1), torch.cat([torch.linalg.solve(g, f.A), f.A], 0), -0.1)  # rank 3 of 6
    (comparison,) = compare_loras(LoRA({"x": f}), LoRA({"x": padded})).overlaps
    assert comparison.cosine == pytest.approx(-1)
    assert (comparison.inputs, comparison.outputs) == (pytest.approx(1), pytest.approx(1))
    assert comparison.inputs_by_chance == pytest.approx(3 / IN)
    other = factors(OUT, IN, 5, 1.0, 8, torch.float64)  # the padding does not change the overlap with another LoRA
    (plain,), (met,) = (compare_loras(LoRA({"x": one}), LoRA({"x": other})).overlaps for one in (f, padded))
    assert (met.inputs, met.outputs) == (pytest.approx(plain.inputs), pytest.approx(plain.outputs))
    assert met.inputs is not None
    assert met.inputs < 0.99


def test_a_zero_delta_has_no_overlap() -> None:
    zero = LowRank(torch.zeros(OUT, 2), torch.ones(2, IN))
    comparison = compare_loras(LoRA({"x": zero}), LoRA({"x": factors(OUT, IN, 2)}))
    assert (comparison.cosine, comparison.overlaps[0].cosine, comparison.overlaps[0].inputs) == (0, 0, None)


def test_groups_collisions_and_layers_of_one_lora(tmp_path: Path) -> None:
    a, b = two_block_lora(2, seed=1), two_block_lora(3, seed=99)
    shared = list(a.layers)[1:]
    loud = shared[3]
    opposite = replace(a.layers[loud], scale=-1.0)  # type: ignore[call-arg]
    layers = {la: b.layers[la] for la in shared} | {loud: opposite, "z.only": factors(4, 4, 1)}
    comparison = compare_loras(LoRA(a.layers, name="cat"), LoRA(layers, name="oil"))
    assert comparison.only == ((next(iter(a.layers)),), ("z.only",))
    assert comparison.collisions(1)[0].layer == loud
    groups = comparison.groups()
    assert sum(map(len, groups.values())) == len(shared) == len(comparison.overlaps)
    assert [o.layer for o in groups["mid_block", "to_out"]] == [
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
    ]
    lines = comparison.text().splitlines()
    assert lines[0].startswith("cat (norm ")
    assert "only oil contains 1 layers, first z.only" in lines
    assert any(line.split()[0] == loud for line in lines)
    data = json.loads(json.dumps(comparison.to_dict()))
    assert data["collisions"][0] == loud
    assert sum(group["share"] for group in data["groups"]) == pytest.approx(comparison.cosine)


def test_loras_without_common_layers() -> None:
    comparison = compare_loras(LoRA({"a": factors(4, 4, 1)}), LoRA({"b": factors(4, 4, 1)}))
    assert comparison.cosine == 0
    assert comparison.text().endswith("the two have no layer in common")


def test_files(tmp_path: Path) -> None:
    for i, name in enumerate(("cat", "oil")):
        save(two_block_lora(2, seed=9 * i), tmp_path / f"{name}.safetensors", dtype=torch.float32)
    comparison = compare_files(tmp_path / "cat.safetensors", tmp_path / "oil.safetensors")
    assert comparison.names == ("cat.safetensors", "oil.safetensors")
    assert comparison.norms[0] == pytest.approx(
        math.hypot(*(float(f.delta().norm()) for f in two_block_lora(2).layers.values())), rel=1e-5
    )


def test_loras_of_different_bases_are_refused() -> None:
    with pytest.raises(ValueError, match="made for different base models"):
        compare_loras(two_block_lora(2), two_block_lora(2, width=5))
