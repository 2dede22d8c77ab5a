"""lorarar.analogies.basis: the mix against plain arithmetic, the exported LoRA against the router's layers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lorarar.analogies.basis import Basis, mixed
from lorarar.analogies.recipes import BasisConfig
from lorarar.diffusion.adaptation import adapted
from lorarar.formats import load, save

SHAPES = {"first": (5, 4), "second": (3, 5)}


def small(router: str = "images", gate: str = "softmax", count: int = 3, tasks: int = 2) -> Basis:
    torch.manual_seed(0)
    config = BasisConfig(count=count, rank=2, alpha=3.0, width=4, router=router, gate=gate)  # type: ignore[arg-type]
    basis = Basis(config, SHAPES, 6, tasks)
    with torch.no_grad():
        for up in basis.up:
            up.normal_()
    return basis


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def by_hand(net: Two, basis: Basis, mix: Tensor, x: Tensor) -> Tensor:
    """The adapted network of one analogy, from dense deltas."""
    y = x
    for j, layer in enumerate((net.first, net.second)):
        delta = sum(mix[j, i] * basis.up[j][i] @ basis.down[j][i] for i in range(3)) * 3.0 / 2
        y = y @ (layer.weight + delta).T + layer.bias
    return y


@torch.no_grad()
def test_the_mix_is_attention_over_keys() -> None:
    basis, features = small(), torch.randn(2, 3, 2)
    basis.center += 0.5
    basis.spread *= 2
    query = basis.projection[1] @ ((features[1].flatten() - 0.5) / 2)
    products = [float(query @ key) / math.sqrt(4) for key in basis.keys[1]]
    expected = [math.exp(p) / sum(map(math.exp, products)) for p in products]
    assert basis.mix(features).shape == (2, 2, 3)
    assert basis.mix(features)[1, 1].tolist() == pytest.approx(expected, rel=1e-5)
    tanh = small(gate="tanh")
    assert float(tanh.mix(features)[0, 0, 0]) == pytest.approx(
        math.tanh(float(tanh.projection[0] @ features[0].flatten() @ tanh.keys[0, 0]) / 2), rel=1e-4
    )


def test_layers_lora_and_file_agree_with_dense_arithmetic(tmp_path: Path) -> None:
    basis, net, x = small(), Two(), torch.randn(4, 6, 4)
    mix = basis.mix(torch.randn(2, 3, 2))
    with mixed(net, basis, mix):
        found = net(x[[0, 1]])
        doubled = net(x)
    assert torch.allclose(found[0], by_hand(net, basis, mix[0], x[0]), atol=1e-5)
    assert torch.allclose(found[1], by_hand(net, basis, mix[1], x[1]), atol=1e-5)
    assert torch.allclose(doubled[3], by_hand(net, basis, mix[1], x[3]), atol=1e-5)
    lora = basis.lora(mix[1].detach())
    assert {layer.rank for layer in lora.layers.values()} == {6}
    save(lora, tmp_path / "mix.safetensors", dtype="fp32")
    for written in (lora, load(tmp_path / "mix.safetensors")):
        with adapted(net, written):
            assert torch.allclose(net(x[[1]])[0], found[1], atol=1e-5)
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in basis.parameters())


def test_routers_without_images() -> None:
    features, tasks = torch.zeros(2, 3, 2), torch.tensor([1, 0])
    assert small("uniform").mix(features).unique().tolist() == pytest.approx([1 / 3])
    assert small("own", count=2).mix(features, tasks)[:, 0].tolist() == [[0, 1], [1, 0]]
    known = small("task").mix(features, tasks)
    assert known[0].tolist() != known[1].tolist()
    with pytest.raises(ValueError, match="expected the transformation of each analogy, found none"):
        small("task").mix(features)
    with pytest.raises(ValueError, match="expected 6 features of an analogy, found 9"):
        small().mix(torch.zeros(1, 3, 3))
    with pytest.raises(ValueError, match="expected basis.count=2, a LoRA for each transformation, found 3"):
        small("own")
