"""lorarar.library.fingerprints: the same for every factorisation, linear in the deltas, close to dense arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lorarar.formats.algorithms.parts import kron
from lorarar.library.fingerprints import (
    GROUPS,
    _signs,
    fingerprint_lora,
    layer_groups,
    measure_layers,
    project_layers,
    random_matrix,
)
from lorarar.library.products import direction_cosine
from lorarar.library.search import all_similarities, similarities
from lorarar.library.settings import FINGERPRINTS
from lorarar.lora import Dense, LoRA, LowRank, concat
from tests.tiny import factors, two_block_lora


def regauged(f: LowRank, seed: int = 0) -> LowRank:
    """The same delta as (B G) (G^-1 A) with two more ranks of zeros, all ranks in another order."""
    random = torch.Generator().manual_seed(seed)
    g = torch.eye(f.rank) + 0.3 * torch.randn(f.rank, f.rank, generator=random)
    order = torch.randperm(f.rank + 2, generator=random)
    up = torch.cat([f.B @ g, torch.zeros(f.shape[0], 2)], dim=1)[:, order]
    down = torch.cat([torch.linalg.solve(g, f.A), torch.zeros(2, f.shape[1])])[order]
    return LowRank(up * 4, down, f.scale / 4)


def sketch(lora: LoRA) -> NDArray[np.float32]:
    return np.asarray(fingerprint_lora(lora).vectors["sketch"], np.float32)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_fingerprint_does_not_depend_on_the_factorisation(name: str) -> None:
    lora = two_block_lora(3, 0.5)
    same = LoRA({path: regauged(f, i) for i, (path, f) in enumerate(lora.layers.items())})  # type: ignore[arg-type]
    whole = LoRA({path: Dense(f.delta()) for path, f in lora.layers.items()})
    vectors = [fingerprint_lora(one).vectors[name] for one in (lora, same, whole, two_block_lora(3, 0.5, seed=99))]
    if name == "direction":
        vectors = [np.unpackbits(vector).astype(np.float32) for vector in vectors]
        shares = [np.abs(vector - vectors[0]).mean() for vector in vectors]
        assert max(shares[:3]) < 0.002  # signs of numbers near 0 depend on rounding
        assert shares[3] > 0.4
    else:
        for again in vectors[1:3]:
            np.testing.assert_allclose(again, vectors[0], rtol=0, atol=2e-3)
        assert np.abs(vectors[3] - vectors[0]).max() > 0.02


def test_the_sketch_is_linear_and_the_direction_is_free_of_length() -> None:
    a, b = two_block_lora(2, seed=1), two_block_lora(3, seed=2)
    parts = {path: [replace(a.layers[path], scale=0.8), replace(b.layers[path], scale=-2.0)] for path in a.layers}
    total = LoRA({path: concat(both) for path, both in parts.items()})  # type: ignore[arg-type]
    np.testing.assert_allclose(0.8 * sketch(a) - 2 * sketch(b), sketch(total), rtol=1e-3, atol=1e-3)
    longer = LoRA({p: replace(f, scale=7.0**i) for i, (p, f) in enumerate(a.layers.items())})  # type: ignore[type-var]
    directions = [fingerprint_lora(lora).vectors["direction"] for lora in (a, longer)]
    assert similarities(directions[1][None], directions[0])[0] == pytest.approx(1, abs=1e-4)


def test_sketches_estimate_inner_products() -> None:
    layer = factors(80, 60, 4, seed=3)
    loras = [LoRA({f"mid_block.attentions.{i}.to_q": layer}) for i in range(60)]
    length = float((sketch(loras[0]) ** 2).sum())
    # The signs of a layer do not change its length: one estimate, whose deviation is about sqrt(2 * 2 / 16).
    assert length == pytest.approx(float(layer.delta().square().sum()), rel=0.6)
    cross = [sketch(lora) @ sketch(loras[0]) for lora in loras[1:]]
    assert abs(np.mean(cross)) < 0.1 * length  # different layers cancel


def test_the_bits_estimate_the_cosine_of_directions() -> None:
    a, b = (lora.layers for lora in (two_block_lora(3, seed=1), two_block_lora(3, seed=2)))
    mixed = LoRA({path: concat([a[path], replace(b[path], scale=0.7)]) for path in a})  # type: ignore[list-item, type-var]
    first, second = (fingerprint_lora(lora).vectors["direction"] for lora in (LoRA(a), mixed))
    assert first.nbytes == 2048
    assert similarities(first[None], second)[0] == pytest.approx(direction_cosine(LoRA(a), mixed), abs=0.03)
    assert all_similarities(np.stack([first, second]))[0, 1] == pytest.approx(
        similarities(first[None], second)[0], abs=1e-4
    )


def test_a_projection_equals_dense_arithmetic() -> None:
    lora = LoRA({"mid_block.to_q": factors(10, 7, 3, 0.5), "mid_block.norm": Dense(torch.ones(4))})
    norms = {"mid_block.to_q": 2.0, "mid_block.norm": 5.0}
    expected = torch.zeros(128, 128)
    for path, layer in lora.layers.items():
        delta = layer.delta().reshape(layer.shape[0], -1)
        a, b = _signs(path)
        projected = random_matrix("out", delta.shape[0]).T @ delta @ random_matrix("in", delta.shape[1])
        expected += torch.outer(a, b) * projected / norms[path]
    torch.testing.assert_close(project_layers(lora, norms)[1], expected)
    sketch, whole = project_layers(lora, dict.fromkeys(norms, 1.0))
    torch.testing.assert_close(sketch / 8, whole[:16, :16])


def test_measures_are_those_of_the_dense_deltas() -> None:
    lora = two_block_lora(5, 0.3)
    whole = LoRA({path: Dense(kron(torch.eye(2), f.delta())) for path, f in lora.layers.items()})
    for given in (lora, whole):
        for path, measure in measure_layers(given).items():
            values = torch.linalg.svdvals(given.layers[path].delta())
            assert measure.norm == pytest.approx(float(values.norm()), rel=1e-4)
            np.testing.assert_allclose(measure.leading, (values / values.norm())[:4], atol=0.02)


def test_norms_and_biases_count_in_the_norm_and_the_sketch() -> None:
    lora = two_block_lora(2)
    more = LoRA({**lora.layers, "mid_block.norm": Dense(torch.ones(6))})
    assert fingerprint_lora(more).norm ** 2 == pytest.approx(fingerprint_lora(lora).norm ** 2 + 6)
    assert np.abs(sketch(more) - sketch(lora)).max() > 0.01


def test_layers_are_grouped_by_role_attention_and_depth() -> None:
    paths = {
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": "attention q self early",
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0": "attention out cross middle",
        "up_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj": "feed-forward self late",
        "text_encoder.text_model.encoder.layers.0.mlp.fc1": "text encoder",
        "time_embedding.linear_1": "other",
    }
    assert layer_groups(tuple(paths)) == paths
    blocks = layer_groups(tuple(f"transformer_blocks.{i}.attn.to_k" for i in range(6)))
    assert list(blocks.values()) == [f"attention k self {d}" for d in ("early", "middle", "late") for _ in (0, 1)]
    assert set(blocks.values()) < set(GROUPS)


def test_a_zero_lora_has_zero_fingerprints() -> None:
    zero = LoRA({"mid_block.attn1.to_q": LowRank(torch.zeros(4, 2), torch.ones(2, 4))})
    found = fingerprint_lora(zero)
    assert found.norm == 0
    assert not any(vector.any() for vector in found.vectors.values())
