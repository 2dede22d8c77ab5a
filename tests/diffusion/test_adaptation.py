"""lorarar.diffusion.adaptation against merged weights and against peft, on tiny diffusers models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, set_peft_model_state_dict
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.checkpoint import CheckpointError

from lorarar.diffusion.adaptation import adapted
from lorarar.lora.coefficients import Coefficients, merge_exactly
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from tests.tiny import dense, factors, lora_for, pixart_inputs, tiny_pixart, tiny_unet, unet_inputs

MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[..., dict[str, object]]]] = {
    "unet": (tiny_unet, unet_inputs),
    "transformer": (tiny_pixart, pixart_inputs),
}


def answer(model: nn.Module, inputs: dict[str, object]) -> Tensor:
    out: Tensor = model(**inputs).sample
    return out


def with_merged_weights(model: nn.Module, lora: LoRA) -> nn.Module:
    """The independent reference: a copy whose weights hold the dense deltas."""
    model = copy.deepcopy(model)
    for layer, f in lora.layers.items():
        weight = model.get_submodule(layer).weight
        weight.data += dense(f).to(weight)
    return model


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_adapted_equals_merged_weights(kind: str) -> None:
    make, inputs = MODELS[kind]
    model, x = make(), inputs(2)
    lora = lora_for(model, ranks=(1, 3, 4), scales=(0.5, 2.0))
    before = answer(model, x)
    with adapted(model, lora):
        got = answer(model, x)
    expected = answer(with_merged_weights(model, lora), x)
    assert (expected - before).abs().max() > 0.01  # else the test proves nothing
    assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(answer(model, x), before)


class Parts(nn.Module):
    """Every sort of module that can be adapted, one after the other: (batch, 4, 6, 6) -> (batch, 36, 5)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.GroupNorm(2, 4)
        self.conv = nn.Conv2d(4, 6, 3, padding=1, dilation=1)
        self.down = nn.Conv2d(6, 8, 2, stride=2)
        self.point = nn.Conv2d(8, 8, 1)
        self.linear = nn.Linear(8, 5)
        self.last = nn.LayerNorm(5)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.point(self.down(self.conv(self.norm(x))))
        answer: Tensor = self.last(self.linear(x.flatten(2).mT))
        return answer


def vector(n: int, seed: int) -> Dense:
    return Dense(torch.randn(n, generator=torch.Generator().manual_seed(seed)))


PARTS: dict[str, Layer] = {
    "norm": vector(4, 0),
    "norm.bias": vector(4, 1),
    "conv": replace(factors(6, 36, 2, 0.5, 2), kernel=(3, 3)),
    "conv.bias": vector(6, 3),
    "down": Dense(torch.randn(8, 24, generator=torch.Generator().manual_seed(4)), kernel=(2, 2)),
    "point": factors(8, 8, 3, 0.5, 5),  # a file may hold a 1x1 convolution as a matrix
    "linear": Dense(torch.randn(5, 8, generator=torch.Generator().manual_seed(6))),
    "linear.bias": vector(5, 7),
    "last": vector(5, 8),
    "last.bias": vector(5, 9),
}


def with_added_parameters(model: nn.Module, layers: Mapping[str, Layer]) -> nn.Module:
    """The reference: a copy whose parameters hold the deltas."""
    model = copy.deepcopy(model)
    for layer, delta in layers.items():
        parameter = model.get_parameter(layer if layer.endswith(".bias") else f"{layer}.weight")
        parameter.data += delta.delta().view_as(parameter)
    return model


@pytest.mark.parametrize("layer", [*PARTS, "all"])
@torch.no_grad()
def test_convolutions_norms_biases_and_dense_deltas_equal_added_parameters(layer: str) -> None:
    model, x = Parts(), torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    layers = PARTS if layer == "all" else {layer: PARTS[layer]}
    before, expected = model(x), with_added_parameters(model, layers)(x)
    with adapted(model, LoRA(layers)):
        got = model(x)
    assert (expected - before).abs().max() > 0.01  # else the test proves nothing
    assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(model(x), before)


@torch.no_grad()
def test_shares_may_hold_deltas_of_different_sorts() -> None:
    model, x = Parts(), torch.randn(6, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    thin = {"linear": factors(5, 8, 2, 0.5, 20), "conv": replace(factors(6, 36, 4, 2.0, 21), kernel=(3, 3))}
    with adapted(model, [LoRA(PARTS), None, LoRA(thin)]):
        got = model(x)
    for i, layers in enumerate((PARTS, {}, thin)):
        expected = with_added_parameters(model, layers)(x[2 * i : 2 * i + 2])
        assert_close(got[2 * i : 2 * i + 2], expected, rtol=1e-4, atol=1e-4)
    with (
        pytest.raises(ValueError, match="divides into 2 equal shares, one for each LoRA, found a batch of 5"),
        adapted(model, [LoRA({"norm": vector(4, 0)}), None]),
    ):
        model(x[:5])


def test_gradients_reach_the_factors_of_convolutions() -> None:
    model, x = Parts().requires_grad_(False), torch.randn(2, 4, 6, 6)
    b, a = torch.randn(6, 2, requires_grad=True), torch.randn(2, 36, requires_grad=True)
    with adapted(model, LoRA({"conv": LowRank(b, a, 0.5, (3, 3))})):
        model(x).square().mean().backward()
    assert all(factor.grad is not None and factor.grad.abs().max() > 0 for factor in (a, b))


def test_what_cannot_be_adapted_is_named() -> None:
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 3))
    cases: dict[str, dict[str, Layer]] = {
        r"first 0 expected nn\.Linear, .*, found Conv2d": {"0": factors(4, 18, 1)},
        r"first 1 expected nn\.Linear, .*, found LayerNorm": {"1": vector(4, 0)},
        r"2\.bias expected \(out, in\) \(3,\), found \(4,\)": {"2.bias": vector(4, 0)},
        r"2 expected \(out, in\) \(3, 4\), found \(3,\)": {"2": vector(3, 0)},
        r"9\.bias is not in the model": {"9.bias": vector(3, 0)},
    }
    for message, layers in cases.items():
        with pytest.raises(ValueError, match=message), adapted(grouped, LoRA(layers)):
            pass


@torch.no_grad()
def test_adapted_equals_peft() -> None:
    model, x = tiny_unet(), unet_inputs(2)
    lora = lora_for(model, ranks=(3,), scales=(0.7,))
    with adapted(model, lora):
        got = answer(model, x)
    model.add_adapter(LoraConfig(r=3, lora_alpha=3 * 0.7, target_modules=sorted(lora.layers)))
    state = {f"{la}.lora_A.weight": f.A for la, f in lora.layers.items()}
    state |= {f"{la}.lora_B.weight": f.B for la, f in lora.layers.items()}
    set_peft_model_state_dict(model, state)
    assert_close(got, answer(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_a_grouped_batch_equals_separate_passes(kind: str) -> None:
    make, inputs = MODELS[kind]
    model, x = make(), inputs(8)
    first = lora_for(model, ranks=(3,), scales=(0.5,), seed=1)
    second = lora_for(model, ranks=(2, 5), scales=(2.0, 1.5), seed=2)
    partial = LoRA(dict(list(second.layers.items())[:2]))
    shares = [first, None, second, partial]
    with adapted(model, shares):
        got = answer(model, x)
    for i, lora in enumerate(shares):
        one = {k: v[2 * i : 2 * i + 2] if isinstance(v, Tensor) and v.ndim else v for k, v in x.items()}
        with adapted(model, [lora]):
            assert_close(got[2 * i : 2 * i + 2], answer(model, one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grouped", [False, True])
def test_checkpointing_leaves_the_gradients_of_the_coefficients(grouped: bool) -> None:
    model = tiny_unet().train().requires_grad_(False)
    loras = [lora_for(model, seed=1), lora_for(model, ranks=(2,), scales=(1.5,), seed=2)]
    widths = {layer: f.shape[1] for layer, f in loras[0].layers.items()}
    x = unet_inputs(2)
    found = []
    for checkpointing in (False, True):
        (model.enable_gradient_checkpointing if checkpointing else model.disable_gradient_checkpointing)()
        m = {layer: torch.ones(width, requires_grad=True) for layer, width in widths.items()}
        merged = merge_exactly(loras, Coefficients({layer: (m[layer], m[layer] * 0.5) for layer in m}))
        with adapted(model, [merged, loras[0]] if grouped else merged):
            answer(model, x).square().mean().backward()
        found.append([v.grad for v in m.values()])
    for plain, checkpointed in zip(*found, strict=True):
        assert plain is not None
        assert plain.abs().max() > 0
        assert_close(plain, checkpointed, rtol=1e-4, atol=1e-8)


def test_the_trap_of_closing_before_backward_is_loud() -> None:
    model = tiny_unet().train().requires_grad_(False)
    model.enable_gradient_checkpointing()
    lora = lora_for(model)
    m = torch.ones((), requires_grad=True)
    with adapted(model, merge_exactly([lora], Coefficients(dict.fromkeys(lora.layers, (m,))))):
        loss = answer(model, unet_inputs(1)).square().mean()
    with pytest.raises(CheckpointError):
        loss.backward()


def test_the_gradient_of_a_coefficient_is_the_finite_difference() -> None:
    model = tiny_unet().requires_grad_(False).double()
    lora = lora_for(model).to(dtype=torch.float64)
    x = {k: v.double() if v.is_floating_point() else v for k, v in unet_inputs(1).items()}
    layer = next(iter(lora.layers))

    def loss(m: Tensor) -> Tensor:
        rest = {la: (torch.ones(()),) for la in lora.layers}
        with adapted(model, merge_exactly([lora], Coefficients({**rest, layer: (m,)}))):
            return answer(model, x).square().mean()

    m = torch.ones(lora.layers[layer].shape[1], dtype=torch.float64, requires_grad=True)
    loss(m).backward()
    step = torch.zeros_like(m)
    step[2] = 1e-5
    with torch.no_grad():
        expected = (loss(m + step) - loss(m - step)) / 2e-5
    assert m.grad is not None
    assert float(m.grad[2]) == pytest.approx(float(expected), rel=1e-5)


def test_a_half_precision_model_answers_in_half_precision() -> None:
    linear = nn.Sequential(nn.Linear(6, 5)).to(torch.bfloat16)
    lora = LoRA({"0": factors(5, 6, 2, 1 / 3)})
    x = torch.randn(4, 6).to(torch.bfloat16)
    with adapted(linear, lora):
        single = linear(x)
    with adapted(linear, [lora, LoRA({"0": factors(5, 6, 2, 0.5, seed=1)})]):
        grouped = linear(x)
    expected = linear(x).float() + (x.double() @ dense(lora.layers["0"]).T).float()
    assert single.dtype == grouped.dtype == torch.bfloat16
    assert_close(single.float(), expected, rtol=0.03, atol=0.03)
    assert_close(grouped[:2].float(), expected[:2], rtol=0.03, atol=0.03)


def test_hooks_are_gone_after_an_exception() -> None:
    model = nn.Sequential(nn.Linear(6, 5))
    with pytest.raises(RuntimeError, match="boom"), adapted(model, LoRA({"0": factors(5, 6, 2)})):
        raise RuntimeError("boom")
    assert not model[0]._forward_hooks


def test_hooks_are_gone_when_the_context_cannot_open() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    with (
        pytest.raises(ValueError, match="layers that do not fit"),
        adapted(model, LoRA({"0": factors(5, 6, 2), "1": factors(5, 5, 2)})),
    ):
        pass
    assert not model[0]._forward_hooks


def test_errors_name_the_layers_and_the_remedy() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
    cases = {
        r"expected every layer of cat in this base, found 1 of 1 layers.*9\.to_q is not in the model.*trained on": {
            "9.to_q": factors(5, 6, 2)
        },
        r"1 expected nn\.Linear, .*, found ReLU": {"1": factors(5, 6, 2)},
        r"0 expected \(out, in\) \(5, 6\), found \(6, 5\)": {"0": factors(6, 5, 2)},
        r"found 1 text-encoder layers in cat.*text_encoder\.x.*drop those layers": {"text_encoder.x": factors(5, 6, 2)},
    }
    for message, layers in cases.items():
        with pytest.raises(ValueError, match=message), adapted(model, LoRA(layers, name="cat")):
            pass
    with pytest.raises(ValueError, match="empty sequence"), adapted(model, []):
        pass
    lora = LoRA({"0": factors(5, 6, 2)})
    with (
        pytest.raises(ValueError, match=r"divides into 2 equal shares, one for each LoRA, found a batch of 3"),
        adapted(model, [lora, None]),
    ):
        model(torch.zeros(3, 6))
