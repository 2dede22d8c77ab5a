"""lorarar.hypernetwork.features: compared with dense deltas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lorarar.hypernetwork.features import (
    DELTA_FEATURES,
    POSITION_FEATURES,
    delta_features,
    position_features,
    projection_role,
)
from lorarar.lora.lora import LoRA
from tests.tiny import dense, factors

CPU = torch.device("cpu")


def of_layers(*deltas: object) -> LoRA:
    return LoRA({f"mid_block.attentions.{i}.attn1.to_q": delta for i, delta in enumerate(deltas)})  # type: ignore[misc]


def expected(own: Tensor, other: Tensor) -> Tensor:
    """Return the first seven features, in float64 from dense matrices."""
    w, o = own.norm(), other.norm()

    def effective_rank(delta: Tensor) -> Tensor:
        s = torch.linalg.svdvals(delta) ** 2
        return s.sum() ** 2 / (s**2).sum()

    return torch.stack(
        [
            (own.square().mean().sqrt() / 0.01).log(),
            (other.square().mean().sqrt() / 0.01).log(),
            (own * other).sum() / (w * o),
            effective_rank(own).log(),
            effective_rank(other).log(),
            ((other.T @ own).norm() / (w * o)).log(),
            ((own @ other.T).norm() / (w * o)).log(),
        ]
    )


def test_features_are_those_of_the_dense_deltas() -> None:
    one = of_layers(factors(5, 7, 2, 0.005, 1), factors(5, 7, 2, 0.01, 2), factors(6, 4, 3, 0.02, 3))
    two = of_layers(factors(5, 7, 3, 0.002, 4), factors(5, 7, 3, 0.003, 5), factors(6, 4, 1, 0.01, 6))
    three = of_layers(factors(5, 7, 1, 0.004, 7), factors(5, 7, 1, 0.003, 8), factors(6, 4, 2, 0.02, 9))
    layers = list(one.layers)
    measured = delta_features([one, two, three], layers, CPU)
    assert measured.shape == (3, 3, DELTA_FEATURES)
    found = measured[1]
    rows = []
    for layer in layers:
        a, b, c = (dense(lora.layers[layer]) for lora in (one, two, three))  # type: ignore[arg-type]
        rows.append(expected(b, a + c))
    assert_close(found[:, :-1].double(), torch.stack(rows), rtol=2e-3, atol=2e-3)
    assert_close(found[:, -1], found[:, 0] - found[:, 0].mean())


def test_orthogonal_deltas_share_nothing_and_equal_ones_everything() -> None:
    delta = factors(6, 8, 1, 0.01, 1)
    same = delta_features([of_layers(delta), of_layers(delta)], list(of_layers(delta).layers), CPU)[0, 0]
    assert_close(same[[2, 3, 5, 6]], torch.tensor([1.0, 0.0, 0.0, 0.0]), atol=1e-3, rtol=0)
    left, right = torch.eye(6)[:, :1], torch.eye(8)[:1]
    a = of_layers(type(delta)(left, right))
    b = of_layers(type(delta)(left.roll(1, 0), right.roll(1, 1)))
    apart = delta_features([a, b], list(a.layers), CPU)[0, 0]
    assert abs(float(apart[2])) < 1e-6
    assert float(apart[[5, 6]].max()) < -4


def test_position_features_are_projection_attention_and_depth() -> None:
    unet = "{}.attentions.0.transformer_blocks.{}.{}.{}"
    layers = [
        unet.format("up_blocks.0", 0, "attn2", "to_k"),
        unet.format("down_blocks.1", 0, "attn1", "to_q"),
        unet.format("mid_block", 0, "attn1", "to_out.0"),
        unet.format("up_blocks.0", 1, "attn1", "to_v"),
    ]
    found = position_features(layers)
    assert found.shape == (4, POSITION_FEATURES)
    assert found[:, :4].argmax(1).tolist() == [1, 0, 3, 2]
    assert found[:, 4].tolist() == [1, 0, 0, 0]
    assert not found[:, 5].any()
    depth = found[:, 7].acos() / torch.pi  # cos(pi depth)
    assert_close(depth, torch.tensor([2 / 3, 0.0, 1 / 3, 1.0]), atol=1e-3, rtol=0)


def test_joint_attention_is_recognised_by_its_names() -> None:
    layers = ["transformer_blocks.0.attn.to_q", "transformer_blocks.1.attn.add_k_proj"]
    layers += ["transformer_blocks.1.attn.to_add_out", "single_transformer_blocks.0.attn.to_v"]
    found = position_features(layers)
    assert found[:, :4].argmax(1).tolist() == [0, 1, 3, 2]
    assert found[:, 4].tolist() == [0, 1, 1, 0]
    assert found[:, 5].tolist() == [1, 1, 1, 1]
    assert found[:, 7].tolist() == pytest.approx([1, 0, 0, -1], abs=1e-6)  # the single blocks come last
    assert [projection_role(layer) for layer in layers] == ["to_q", "to_k", "to_out", "to_v"]
    assert projection_role("transformer_blocks.0.ff.net.0.proj") == "proj"
    assert not position_features(["transformer_blocks.0.ff.net.0.proj"])[:, :4].any()


def test_features_do_not_depend_on_how_many_layers_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loras = [of_layers(*(factors(9, 7, rank, 0.5, 10 * i + rank) for i in range(5))) for rank in (2, 3, 1)]
    together = delta_features(loras, list(loras[0].layers), CPU)
    monkeypatch.setattr("lorarar.hypernetwork.features._CACHED_NUMBERS", 80)  # two layers of 36 entries
    assert_close(delta_features(loras, list(loras[0].layers), CPU), together)
