"""lorarar.benchmark.size: counts against a real pass and backward on the embedded denoiser, and the arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lorarar.benchmark.size.bases import SIZED_BASES, SizedBase
from lorarar.benchmark.size.counting import PassCount, count_pass
from lorarar.benchmark.size.works import size_report, size_table, works_of
from lorarar.diffusion import adapted
from lorarar.lora import LoRA, LowRank
from lorarar.storage import EMBEDDED


def embedded() -> SizedBase:
    """Return the embedded denoiser as a base of 4 times its own width of images, so that blocks outweigh the rest."""
    config = json.loads((EMBEDDED / "base" / "unet" / "config.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    side = config["sample_size"]
    return replace(SIZED_BASES["sdxl"], config=settings, channels=config["in_channels"], side=side, tokens=16, rank=4)


class RealPass:
    """A forward pass on the CPU with random weights, and what autograd saves in it."""

    def __init__(self, base: SizedBase, images: int) -> None:
        torch.manual_seed(0)
        self.saved: dict[int, Tensor] = {}
        model = UNet2DConditionModel(**base.config).requires_grad_(False)
        own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

        def count(tensor: Tensor) -> Tensor:
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in own:
                self.saved[pointer] = tensor
            return tensor

        layers = {
            path: LowRank(*(torch.randn(shape).mul(0.01).requires_grad_() for shape in shapes))
            for path, module in model.named_modules()
            if isinstance(module, nn.Linear) and path.endswith(base.targets)
            for shapes in [((module.out_features, base.rank), (base.rank, module.in_features))]
        }
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        with adapted(model, LoRA(layers)), saved_tensors_hooks(count, lambda tensor: tensor):
            model(**real(base.inputs(base, images, torch.float32)))
        self.lora_parameters = sum(f.A.numel() + f.B.numel() for f in layers.values())
        self.bytes = sum(tensor.untyped_storage().nbytes() for tensor in self.saved.values())


def real(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        key: real(value) if isinstance(value, dict) else torch.zeros(value.shape, dtype=value.dtype)
        for key, value in arguments.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 3])
def test_a_count_without_weights_equals_a_real_pass(images: int) -> None:
    found, measured = count_pass(embedded(), images, torch.float32), RealPass(embedded(), images)
    assert (found.parameters, found.lora_parameters) == (measured.parameters, measured.lora_parameters)
    assert found.saved == pytest.approx(measured.bytes, rel=0.03)


def test_checkpointing_saves_less_and_half_precision_half() -> None:
    narrow, wide = (count_pass(embedded(), dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    assert narrow.operations == wide.operations
    assert narrow.saved < 0.6 * wide.saved
    assert wide.checkpointed < wide.saved


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "millions"), [("sd15", 859.5), ("sdxl", 2567.5), ("koala", 782), ("sd3", 2028), ("flux", 11901)]
)
def test_denoisers_have_the_published_numbers_of_parameters(family: str, millions: float) -> None:
    report = size_report(family)
    assert report["parameters"] / 1e6 == pytest.approx(millions, rel=0.002)
    assert report["label"] in size_table(report)


def test_works_follow_from_a_count() -> None:
    count = PassCount(parameters=1000, lora_parameters=10, operations=7, saved=500, checkpointed=100)
    base = replace(SIZED_BASES["sdxl"], encoders=200, autoencoder=50, steps=30, passes=2)
    works = {work.name: work for work in works_of(base, count)}
    assert works["zoo"].offloaded == 2000 + 500 + 160
    assert works["zoo"].bytes - works["zoo"].offloaded == 500
    assert (works["zoo"].operations, works["zoo, checkpointing"].operations) == (14, 21)
    assert (works["training"].operations, works["training, checkpointing"].operations) == (42, 56)
    assert works["training, checkpointing"].offloaded == 2000 + 2 * 100 + 2 * 10 * 12
    assert works["generation"].operations == 420
    assert works["zoo"].seconds("H100, 80 GB") == pytest.approx(14 / (989e12 * 0.35))


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a base among sd15, sdxl, koala, sd3, flux, flux2-klein, found 'sx'"):
        size_report("sx")
