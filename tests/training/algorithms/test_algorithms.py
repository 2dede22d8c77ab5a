"""lorarar.training.algorithms: outputs and gradients of many LoRAs at once against LyCORIS' modules, one by one."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from lorarar.diffusion.adaptation import adapted
from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save, save_parts
from lorarar.training.algorithms import TRAINED
from lorarar.training.algorithms.lokr import split
from lorarar.training.settings import AlgorithmName, Recipe
from lorarar.training.units import Units
from lorarar.workflows.merges import merge
from tests.training.algorithms.library import by_role, library_module

NAMES = ("cat", "dog", "ink")
RECIPE = Recipe(rank=2, alphas=(1.0, 4.0), steps=1, images=1, learning_rate=0.1, targets=("conv1", "conv2", "to_q"))
CASES: dict[str, dict[str, Any]] = {
    "lora": {"targets": ("conv2", "to_q")},
    "locon": {},
    "locon, tucker, rank of its own": {"tucker": True, "conv_rank": 3, "conv_alpha": 2.0},
    "locon, rslora": {"rslora": True},
    "loha": {},
    "loha, tucker": {"tucker": True},
    "lokr": {"factor": 2},
    "lokr, rank 1": {"rank": 1},
    "lokr, rank 1, tucker, both": {"rank": 1, "tucker": True, "decompose_both": True},
    "lokr, full": {"full_matrix": True, "factor": 4},
    "dora": {},
    "ia3": {},
    "ia3, on input": {"on_input": True},
    "diag-oft": {},
    "diag-oft, limited": {"rank": 4, "constraint": 0.02, "rescaled": True},
    "boft": {"rank": 6},
    "boft, limited": {"rank": 6, "constraint": 0.02, "rescaled": True},
    "glora": {},
    "full": {},
}


class Model(nn.Module):
    """A strided convolution, a 1 x 1 convolution and a linear layer: (batch, 4, 5, 5) -> (batch, 9, 12)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down_blocks = nn.Module()
        self.down_blocks.conv1 = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.down_blocks.conv2 = nn.Conv2d(8, 6, 1)
        self.down_blocks.to_q = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        blocks = self.down_blocks
        answer: Tensor = blocks.to_q(blocks.conv2(torch.tanh(blocks.conv1(x))).flatten(2).mT)
        return answer


def made(case: str, **changes: Any) -> tuple[Model, Units]:
    """The model and three LoRAs of it with random parts."""
    model, algorithm = Model(), case.partition(",")[0]
    recipe = replace(RECIPE, algorithm=algorithm, **(CASES[case] | changes))
    units = Units(SimpleNamespace(denoiser=model, encoders={}), recipe, NAMES)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in units.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=random)
    return model, units


def test_every_algorithm_is_tested() -> None:
    assert {case.partition(",")[0] for case in CASES} == set(TRAINED) == set(get_args(AlgorithmName))


@pytest.mark.parametrize("case", CASES)
def test_many_at_once_equal_the_librarys_modules_one_by_one(case: str) -> None:
    model, units = made(case)
    x = torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    plain = model(x).detach()
    with units.adapted(SimpleNamespace(denoiser=model), step=0):
        found = model(x)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    (found * weights).sum().backward()
    assert (found - plain).abs().max() > 0.1
    for number, name in enumerate(NAMES):
        alone, unit = copy.deepcopy(model), units.unit(number)
        modules = []
        for layer in units.layers:
            twin = replace(layer, module=alone.get_submodule(layer.place))
            modules.append(library_module(twin, units.recipe, unit[layer.path], name))
        share = slice(2 * number, 2 * number + 2)
        expected = alone(x[share])
        assert_close(found[share], expected, rtol=1e-4, atol=1e-5)
        (expected * weights[share]).sum().backward()
        for layer, parts, module in zip(units.layers, units.parts, modules, strict=True):
            theirs = by_role(module, unit[layer.path])
            assert theirs.keys() == dict(parts.items()).keys()
            for role, parameter in theirs.items():
                assert_close(parts[role].grad[number], parameter.grad, rtol=1e-3, atol=1e-4, msg=f"{layer.path} {role}")


@pytest.mark.parametrize("case", CASES)
def test_a_file_holds_what_was_trained(case: str, tmp_path: Path) -> None:
    model, units = made(case)
    base, path = tmp_path / "base.safetensors", tmp_path / "lora.safetensors"
    save_file(model.state_dict(), base)
    save_parts(units.lora(1), units.unit(1), path, dtype="fp32")
    x = torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        with units.adapted(SimpleNamespace(denoiser=model), step=0):
            expected = model(x)[2:4]
        with adapted(model, load(path, base)):
            found = model(x[2:4])
    assert_close(found, expected, rtol=1e-4, atol=1e-5)
    expected_names = {"dora": {"dora"}, "diag-oft": {"oft"}, "boft": {"oft"}, "lora": {"lora"}}
    algorithm = case.partition(",")[0]
    if algorithm in expected_names:
        assert set(read_stored(path).algorithms.values()) == expected_names[algorithm]


@pytest.mark.parametrize("case", CASES)
def test_a_merge_with_a_plain_lora_is_the_sum_of_both_libraries_deltas(case: str, tmp_path: Path) -> None:
    rank = CASES[case].get("rank", RECIPE.rank)
    model, units = made(case, alphas=(float(rank),))  # at other scales LyCORIS' own merge of LoHa and LoKr is wrong
    plain, theirs = made("lora")[1], copy.deepcopy(model)
    save_file(model.state_dict(), tmp_path / "base.safetensors")
    files = [tmp_path / name for name in ("any.safetensors", "plain.safetensors")]
    save_parts(units.lora(1), units.unit(1), files[0], dtype="fp32")
    save(plain.lora(0), files[1], dtype="fp32")
    merged = merge(*files, merger="direct", base=tmp_path / "base.safetensors", device="cpu", dense=True)
    config = LoraConfig(r=2, lora_alpha=2 * RECIPE.scale("cat"), target_modules=["conv2", "to_q"])
    inject_adapter_in_model(config, theirs)
    for layer in units.layers:
        twin = replace(layer, module=copy.deepcopy(layer.module))
        module = library_module(twin, units.recipe, units.unit(1)[layer.path], NAMES[1])
        base = layer.module.weight
        expected = (module.get_merged_weight(shape=base.shape)[0] - base).detach().flatten(1)
        if layer.path in plain.unit(0):
            wrapped, parts = theirs.get_submodule(layer.place), plain.unit(0)[layer.path]
            wrapped.lora_A["default"].weight.data, wrapped.lora_B["default"].weight.data = parts["down"], parts["up"]
            expected = expected + wrapped.get_delta_weight("default").detach().flatten(1)
        error = (merged.layers[layer.path].delta() - expected).norm() / expected.norm()
        assert error < 1e-5, layer.path


@pytest.mark.parametrize("case", ["locon", "loha"])
def test_dropout_is_a_function_of_name_and_step(case: str) -> None:
    model, units = made(case, rank=6, rank_dropout=0.5, module_dropout=0.2)
    alone = Units(SimpleNamespace(denoiser=model, encoders={}), units.recipe, NAMES[1:2])
    for own, shared in zip(alone.parameters(), units.parameters(), strict=True):
        own.data = shared.data[1:2]

    def kept(units: Units, step: int) -> Tensor:
        """Whether each LoRA keeps each rank or row of each layer, (n, ..)."""
        stacks = units._dropped(units._stacks(), step)
        return torch.cat([(stack.A if case == "locon" else stack.tensor).abs().sum(-1) > 0 for stack in stacks], dim=1)

    masks = [kept(units, step) for step in range(40)]
    assert torch.stack(masks).float().mean() == pytest.approx(0.5 * 0.8, abs=0.05)
    assert len({tuple(mask[1].tolist()) for mask in masks}) > 30
    assert all(torch.equal(mask[1], kept(alone, step)[0]) for step, mask in enumerate(masks[:5]))


def test_a_layer_is_split_as_lycoris_splits_it() -> None:
    from lycoris.functional import factorization

    for size in (1, 7, 12, 80, 112, 144, 320, 640, 1280, 127):
        for factor in (-1, 2, 4, 5, 8, 16, 200):
            assert split(size, factor) == factorization(size, factor), (size, factor)


@pytest.mark.parametrize("case", ["lora", "locon"])
def test_network_dropout_leaves_out_numbers_and_keeps_the_mean(case: str) -> None:
    model, units = made(case, network_dropout=0.5)
    alone = Units(SimpleNamespace(denoiser=model, encoders={}), units.recipe, NAMES[1:2])
    for own, shared in zip(alone.parameters(), units.parameters(), strict=True):
        own.data = shared.data[1:2]
    number = next(i for i, layer in enumerate(units.layers) if layer.path.endswith("to_q"))
    linear, x = units.layers[number].module, torch.randn(6, 3, units.layers[number].channels)
    zero = torch.zeros(6, 3, linear.weight.shape[0])

    def added(units: Units, x: Tensor, step: int) -> Tensor:
        return units._dropped(units._stacks(), step)[number](linear, (x,), zero[: len(x)])

    steps = [added(units, x, step).detach() for step in range(400)]
    assert torch.equal(steps[3], added(units, x, 3))  # as gradient checkpointing needs
    assert_close(added(alone, x[2:4], 3), steps[3][2:4])
    whole = units._stacks()[number](linear, (x,), zero)
    assert_close(torch.stack(steps).mean(0), whole.detach(), rtol=0, atol=0.5 * float(whole.detach().std()))
    assert (steps[0] - whole).norm() > 0.3 * whole.norm()
