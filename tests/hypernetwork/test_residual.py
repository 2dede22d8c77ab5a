"""lorarar.hypernetwork.residual: its features against dense deltas, what it does not depend on, where it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lorarar.dense import Dense
from lorarar.hypernetwork.residual import ResidualConfig, ResidualHypernetwork, _features
from lorarar.lora import LoRA
from lorarar.lowrank import LowRank
from lorarar.merging import Coefficients
from tests.tiny import dense, factors, two_block_lora

CONTENT, STYLE = two_block_lora(2, 0.5), two_block_lora(3, 2.0, seed=40)
LAYERS = tuple(CONTENT.layers)


def network(moved: bool = True, layers: tuple[str, ...] = LAYERS) -> ResidualHypernetwork:
    """With ``moved``, as after some training: every parameter is random."""
    torch.manual_seed(0)
    net = ResidualHypernetwork(ResidualConfig(layers, embedding=4, hidden=8))
    if moved:
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return net


def values(coefficients: Coefficients) -> Tensor:
    return torch.cat([m.detach() for row in coefficients.layers.values() for m in row])


def test_training_starts_from_the_constants() -> None:
    found = network(moved=False)([CONTENT, STYLE])
    assert list(found.layers) == list(LAYERS)
    assert torch.equal(values(found), torch.full_like(values(found), 0.75))


def test_features_are_lengths_and_angles_of_the_dense_columns() -> None:
    content, style = factors(5, 7, 2, 0.005, 1), factors(5, 7, 3, 0.0025, 2)
    found = _features([content], [style])[0]
    c, s = dense(content), dense(style)
    lengths = c.norm(dim=0), s.norm(dim=0)
    typical = [length.square().mean().sqrt() for length in lengths]
    expected = [
        (lengths[0] / typical[0]).log(),
        (lengths[1] / typical[1]).log(),
        (lengths[0] / lengths[1]).log(),
        torch.cosine_similarity(c, s, dim=0),
        (c.square().mean().sqrt() / 0.01).log().expand(7),
        (s.square().mean().sqrt() / 0.01).log().expand(7),
        (torch.dot(c.flatten(), s.flatten()) / (c.norm() * s.norm())).expand(7),
    ]
    assert_close(found.double(), torch.stack(expected, -1), rtol=1e-4, atol=1e-4)


def turned(f: LowRank) -> LowRank:
    q = torch.linalg.qr(torch.randn(f.rank, f.rank, generator=torch.Generator().manual_seed(3)))[0]
    return replace(f, B=f.B @ q * 2, A=q.T @ f.A / 2)


def padded(f: LowRank) -> LowRank:
    return replace(f, B=torch.nn.functional.pad(f.B, (0, 2)), A=torch.nn.functional.pad(f.A, (0, 0, 0, 2)))


def folded(f: LowRank) -> LowRank:
    return replace(f, B=f.B * f.scale, scale=1.0)


def tripled(f: LowRank) -> LowRank:
    return replace(f, scale=3 * f.scale)


@pytest.mark.parametrize("change", [turned, padded, folded])
def test_the_answer_depends_on_the_deltas_not_on_their_factors(
    change: Callable[[LowRank], LowRank],
) -> None:
    net = network()
    before = values(net([CONTENT, STYLE]))
    both = [LoRA({layer: change(f) for layer, f in lora.layers.items()}) for lora in (CONTENT, STYLE)]
    assert_close(values(net(both)), before, rtol=1e-4, atol=1e-4)
    alone = values(net([LoRA({la: tripled(f) for la, f in CONTENT.layers.items()}), STYLE]))
    assert (alone - before).abs().max() > 0.01  # a LoRA's own strength does count
    assert (values(net([STYLE, CONTENT])) - before).abs().max() > 0.01


def test_other_layers_get_the_fixed_coefficient() -> None:
    found = network(layers=LAYERS[:3])([CONTENT, STYLE]).layers
    for i, layer in enumerate(LAYERS):
        constant = all(torch.equal(m, torch.ones_like(m)) for m in found[layer])
        assert constant == (i >= 3)
    short = LoRA(dict(list(STYLE.layers.items())[1:]))
    assert torch.equal(network()([CONTENT, short]).layers[LAYERS[0]][0], torch.tensor(1.0))


def test_predicted_layers_may_be_dense_and_vectors_are_not_predicted() -> None:
    net, thin = network(), network()([CONTENT, STYLE]).layers
    full = LoRA({**CONTENT.layers, LAYERS[1]: Dense(CONTENT.layers[LAYERS[1]].delta())})
    assert net.predicted([full, STYLE]) == list(LAYERS)
    for layer, vectors in net([full, STYLE]).layers.items():
        for m, expected in zip(vectors, thin[layer], strict=True):
            assert_close(m, expected, rtol=1e-4, atol=1e-4)
    norms = [LoRA({**lora.layers, LAYERS[1]: Dense(torch.ones(6))}) for lora in (CONTENT, STYLE)]
    assert LAYERS[1] not in net.predicted(norms)
    assert [m.tolist() for m in net(norms).layers[LAYERS[1]]] == [1.0, 1.0]


def test_an_untrained_lora_gives_finite_answers_and_gradients() -> None:
    zero = LoRA({layer: replace(f, B=torch.zeros_like(f.B)) for layer, f in STYLE.layers.items()})
    net = network()
    answer = torch.cat([m for row in net([CONTENT, zero]).layers.values() for m in row])
    answer.square().sum().backward()
    assert answer.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"exactly two LoRAs, \[content, style\], found 3"):
        network()([CONTENT, STYLE, STYLE])
    with pytest.raises(ValueError, match=r"expected layers such as other.to_q, found .*trained for another base model"):
        network(layers=("other.to_q",))([CONTENT, STYLE])
    for layers in ((), ("a", "a")):
        with pytest.raises(ValueError, match="one or more distinct layers"):
            ResidualHypernetwork(ResidualConfig(layers))
