"""lorarar.hypernetwork.layerwise: initial coefficients, invariances, and the LoRAs that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork, kinds_of
from lorarar.lora.coefficients import Coefficients, merge_exactly
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from tests.tiny import dense, two_block_lora

CONTENT, STYLE, THIRD = two_block_lora(2, 0.5), two_block_lora(3, 2.0, seed=40), two_block_lora(4, 0.1, seed=80)
LAYERS = list(CONTENT.layers)


def network(moved: bool = True, **config: object) -> LayerwiseHypernetwork:
    """Return a network; with `moved` every parameter is random, as after some training."""
    torch.manual_seed(0)
    net = LayerwiseHypernetwork(LayerwiseConfig(width=8, **config))  # type: ignore[arg-type]
    if moved:
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return net


def values(coefficients: Coefficients) -> Tensor:
    return torch.stack([m.detach().reshape(-1)[0] for row in coefficients.layers.values() for m in row])


def test_training_starts_from_the_given_numbers() -> None:
    found = network(moved=False, initial=(0.5, 0.9))([CONTENT, STYLE])
    assert list(found.layers) == LAYERS
    assert_close(values(found), torch.tensor([0.5, 0.9] * len(LAYERS)))


def turned(f: LowRank) -> LowRank:
    q = torch.linalg.qr(torch.randn(f.rank, f.rank, generator=torch.Generator().manual_seed(3)))[0]
    return replace(f, B=f.B @ q * 2, A=q.T @ f.A / 2)


def padded(f: LowRank) -> LowRank:
    return replace(f, B=torch.nn.functional.pad(f.B, (0, 2)), A=torch.nn.functional.pad(f.A, (0, 0, 0, 2)))


def folded(f: LowRank) -> LowRank:
    return replace(f, B=f.B * f.scale, scale=1.0)


def wider(f: LowRank) -> LowRank:
    """Return a delta of twice the rows and columns, with entries of the same root mean square."""
    return replace(f, B=f.B.repeat(2, 1), A=f.A.repeat(1, 2))


def tripled(f: LowRank) -> LowRank:
    return replace(f, scale=3 * f.scale)


def changed(lora: LoRA, change: Callable[[LowRank], LowRank]) -> LoRA:
    return replace(lora, layers={layer: change(f) for layer, f in lora.layers.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [turned, padded, folded, wider])
def test_coefficients_depend_on_neither_factors_nor_rank_nor_width(change: Callable[[LowRank], LowRank]) -> None:
    net = network()
    before = values(net([CONTENT, STYLE]))
    assert_close(values(net([changed(CONTENT, change), changed(STYLE, change)])), before, rtol=1e-4, atol=1e-4)


def test_coefficients_depend_on_strength_and_kind() -> None:
    net = network()
    before = values(net([CONTENT, STYLE]))
    assert (values(net([changed(CONTENT, tripled), STYLE])) - before).abs().max() > 0.01
    assert (values(net([STYLE, CONTENT])) - before).abs().max() > 0.01


def test_three_loras_of_any_kinds_are_merged_exactly() -> None:
    net = network()
    loras = [CONTENT, STYLE, THIRD]
    found = net(loras, ["content", "style", "content"])
    again = net([THIRD, CONTENT, STYLE], ["content", "content", "style"])
    for layer in LAYERS:
        c, s, t = found.layers[layer]
        for m, expected in zip(again.layers[layer], (t, c, s), strict=True):
            assert_close(m, expected, rtol=1e-4, atol=1e-5)  # whoever stands where
        deltas = [dense(lora.layers[layer]) for lora in loras]  # type: ignore[arg-type]
        total = sum(m.double() * delta for m, delta in zip((c, s, t), deltas, strict=True))
        assert_close(merge_exactly(loras, found).layers[layer].delta().double(), total, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(values(net(loras)), values(found))


def test_kinds_come_from_the_order_of_two_and_the_metadata_of_more() -> None:
    style, content = (LoRA({}, {"kind": kind}) for kind in ("style", "content"))
    assert kinds_of([style, content]) == ["content", "style"]
    assert kinds_of([style, content, style]) == ["style", "content", "style"]
    assert kinds_of([style, LoRA({}), style]) == ["content", "style", "style"]


def test_other_layers_get_the_fixed_coefficients() -> None:
    found = network(predicted=("to_q",), fixed=(0.25, 0.5))([CONTENT, STYLE]).layers
    for layer in LAYERS:
        assert ([m.mean().item() for m in found[layer]] == [0.25, 0.5]) == (not layer.endswith("to_q"))
    short = replace(STYLE, layers=dict(list(STYLE.layers.items())[1:]))
    assert [m.tolist() for m in network()([CONTENT, short]).layers[LAYERS[0]]] == [1.0, 1.0]


def test_predicted_layers_may_be_dense_and_vectors_are_not_predicted() -> None:
    net, thin = network(), network()([CONTENT, STYLE]).layers
    full = LoRA({**CONTENT.layers, LAYERS[1]: Dense(CONTENT.layers[LAYERS[1]].delta())})
    assert net.predicted([full, STYLE]) == LAYERS
    for layer, vectors in net([full, STYLE]).layers.items():
        for m, expected in zip(vectors, thin[layer], strict=True):
            assert_close(m, expected, rtol=1e-4, atol=1e-4)
    norms = [LoRA({**lora.layers, LAYERS[1]: Dense(torch.ones(6))}) for lora in (CONTENT, STYLE)]
    assert LAYERS[1] not in net.predicted(norms)


def test_a_lora_of_zeros_gives_finite_coefficients_and_gradients() -> None:
    zero = changed(STYLE, lambda f: replace(f, B=torch.zeros_like(f.B)))
    for loras in ([CONTENT, zero], [zero, zero]):
        net = network()
        answer = torch.cat([m for row in net(loras).layers.values() for m in row])
        answer.square().sum().backward()
        assert answer.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


def test_errors() -> None:
    with pytest.raises(ValueError, match="expected 2 or more LoRAs and a kind for each, content or style, found 1"):
        network()([CONTENT])
    with pytest.raises(ValueError, match="found 2 and content, colour: give as many"):
        network()([CONTENT, STYLE], ["content", "colour"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="share no layer of to_x, which the network predicts"):
        network(predicted=("to_x",))([CONTENT, STYLE])
    with pytest.raises(ValueError, match="one or more projections"):
        LayerwiseHypernetwork(LayerwiseConfig(predicted=()))
