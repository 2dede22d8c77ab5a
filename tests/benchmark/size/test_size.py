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
from torch.utils.flop_counter import FlopCounterMode

import lorarar.benchmark.size.counting as counting
from lorarar.benchmark.size.bases import SIZED_BASES, SizedBase
from lorarar.benchmark.size.counting import PassCount, PredictionCount, count_pass, count_prediction
from lorarar.benchmark.size.works import Work, size_report, size_table, works_of
from lorarar.benchmark.speed.cases import attention_layers
from lorarar.benchmark.speed.synthetic import random_lora
from lorarar.diffusion import adapted
from lorarar.hypernetwork import new_merger
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


def test_the_peak_is_that_of_what_is_alive_at_a_time() -> None:
    x = torch.empty(10, device="meta")  # 40 bytes, which are there before and do not count

    def run() -> Tensor:
        chain = (x.view(5, 2) + 1).view(10) * 2  # a sum and a product at a time; views take nothing
        del chain
        both = torch.cat([x, x])
        return both.add_(1)[:1]

    assert counting._peak(run) == 80
    assert counting._peak(lambda: (x + 1) + (x + 2)) == 120


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


COUNT = PassCount(
    parameters=1000, lora_parameters=10, columns=3, operations=7, saved=500, checkpointed=100, peak=30, decoding=90
)
BASE = replace(SIZED_BASES["sdxl"], encoders=200, autoencoder=50, rank=2, steps=30, passes=2)


def works(count: PassCount = COUNT, **more: Any) -> dict[str, Work]:
    return {work.name: work for work in works_of(BASE, count, PredictionCount(parameters=4, operations=9), **more)}


def test_works_follow_from_a_count() -> None:
    found = works()
    assert found["zoo"].offloaded == 2000 + 500 + 160
    assert found["zoo"].bytes - found["zoo"].offloaded == 500
    assert (found["zoo"].operations, found["zoo, checkpointing"].operations) == (14, 21)
    assert (found["training"].operations, found["training, checkpointing"].operations) == (42, 56)
    assert found["ZipLoRA, checkpointing"].offloaded == 2000 + 2 * 100 + 2 * 10 * 12
    assert found["training, checkpointing"].offloaded - found["ZipLoRA, checkpointing"].offloaded == 4 * 16
    assert found["generation"].operations == 420
    # Weights, two LoRAs, the autoencoder, and what decoding takes, which is more than two passes.
    assert found["generation"].offloaded == 2000 + 40 + 100 + 90
    assert found["generation"].bytes == 2000 + 40 + 500 + 90
    assert works(count=replace(COUNT, decoding=50))["generation"].offloaded == 2000 + 40 + 100 + 60
    assert works(dtype="fp32")["generation"].offloaded == 2 * found["generation"].offloaded
    # 2000 bytes are read forward, backward, and again with checkpointing; teachers read them too.
    moved = {name: found[name].moved for name in ("zoo", "zoo, checkpointing", "training", "ZipLoRA, checkpointing")}
    assert list(moved.values()) == [4000, 6000, 6000, 8000]
    assert found["generation"].moved == 30 * 2000


def test_prediction_and_merge_take_no_base() -> None:
    prediction, merge = (works()[name] for name in ("prediction", "merge"))
    assert (prediction.bytes, prediction.operations) == (2 * 10 * 2 + 4 * 4 + 2 * 3 * 4, 9)
    # Two files; A of 2 x 3 in float32 and B of 4 numbers in fp16, twice; two times 3 coefficients.
    assert (merge.bytes, merge.operations) == (40 + 2 * (6 * 4 + 4 * 2) + 24, 12)


def test_more_images_and_loras_take_more() -> None:
    found = works(images=3, loras=2)
    assert found["zoo"].offloaded == 2000 + 3 * 500 + 2 * 160
    assert found["training"].operations == 3 * 42


def test_seconds_are_those_of_the_slower_of_operations_and_memory() -> None:
    work = works()["zoo"]
    assert work.seconds("H100, 80 GB") == pytest.approx(work.moved / (3.35e12 * 0.7))
    busy = replace(work, operations=10**15)
    assert busy.seconds("H100, 80 GB") == pytest.approx(10**15 / (989e12 * 0.35))
    assert replace(busy, dtype="fp32").seconds("A100, 80 GB") == pytest.approx(10**15 / (19.5e12 * 0.35))


def test_a_prediction_is_counted_without_weights() -> None:
    base = embedded()
    denoiser = base.new_denoiser(torch.float32)
    lora = random_lora(attention_layers(denoiser), base.rank, 0)
    merger = new_merger("paper", lora, {})
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        merger([lora, lora])
    found = count_prediction(base)
    assert found == PredictionCount(sum(p.numel() for p in merger.parameters()), int(counter.get_total_flops()))


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a base among sd15, sdxl, koala, sd3, flux, flux2-klein, found 'sx'"):
        size_report("sx")
