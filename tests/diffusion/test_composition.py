"""Mergers that act while sampling, against the pipeline with dense deltas swapped into its weights between steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from lorarar.diffusion.adaptation import adapted, adapted_by_choice
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.composition import scheduled
from lorarar.diffusion.generation import generate_files, open_sampler
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.sampling import sample_composed, sample_loras, starting_latents
from lorarar.diffusion.settings import Sampling
from lorarar.formats.writing import save
from lorarar.lora.coefficients import Coefficients, merge_exactly
from lorarar.lora.dense import Dense
from lorarar.lora.lora import LoRA
from lorarar.lora.weights import input_weights, weight_loras
from lorarar.mergers.balance import balance_loras
from lorarar.mergers.methods.step import Step
from lorarar.mergers.request import MergeRequest
from lorarar.mergers.table import MERGERS
from tests.mergers.cases import times
from tests.tiny import factors, lora_for, tiny_unet, unet_inputs

PROMPT, SEEDS = "a sks cat in szn style", [3, 4]
TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
ONES = Coefficients({TEXT: (torch.ones(()), torch.ones(()))})


@pytest.fixture
def pair(loras: dict[str, LoRA]) -> list[LoRA]:
    return [loras["train_content_00"], loras["train_style_00"]]


def add_weights(model: nn.Module, lora: LoRA, sign: float) -> None:
    for layer, delta in lora.layers.items():
        model.get_submodule(layer).weight.data += sign * delta.delta()


def swapped(base: Path, schedule: Sequence[LoRA], guidance: float) -> Tensor:
    """Images of the pipeline itself, each step's deltas in its weights."""
    backbone = load_backbone(base, device="cpu")
    unet = backbone.pipeline.unet

    def next_step(pipeline: object, step: int, timestep: object, inputs: dict[str, object]) -> dict[str, object]:
        add_weights(unet, schedule[step], -1)
        if step + 1 < len(schedule):
            add_weights(unet, schedule[step + 1], 1)
        return inputs

    add_weights(unet, schedule[0], 1)
    images: Tensor = backbone.pipeline(
        prompt=[PROMPT] * len(SEEDS),
        latents=starting_latents(backbone, SEEDS),
        num_inference_steps=len(schedule),
        guidance_scale=guidance,
        output_type="pt",
        callback_on_step_end=next_step,
    ).images
    return images


@pytest.mark.parametrize("name", ["switch", "composite"])
def test_one_lora_alone_is_plain_generation(backbone: Backbone, pair: list[LoRA], name: str) -> None:
    sampling = Sampling(3, 2.5)
    found = sample_composed(backbone, pair[:1], MERGERS[name], PROMPT, SEEDS, sampling)
    assert_close(found, sample_loras(backbone, pair[:1], [PROMPT], SEEDS, sampling)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_switch_takes_turns(base: Path, backbone: Backbone, pair: list[LoRA], guidance: float) -> None:
    found = sample_composed(backbone, pair, MERGERS["switch"], PROMPT, SEEDS, Sampling(5, guidance), {"tau": 2})
    a, b = pair
    assert_close(found, swapped(base, [a, a, b, b, a], guidance), rtol=1e-4, atol=1e-4)
    assert (found - swapped(base, [a] * 5, guidance)).abs().max() > 0.01


@pytest.mark.parametrize("name", ["klora", "klora_wrapped"])
def test_klora_samples_with_its_mixtures(base: Path, backbone: Backbone, pair: list[LoRA], name: str) -> None:
    steps = MERGERS[name].call(pair, 4, **MERGERS[name].options)
    mixtures = [lora for (lora,) in steps]
    assert len({tuple(map(id, lora.layers.values())) for lora in mixtures}) > 1  # the choice changes between steps
    found = sample_composed(backbone, pair, MERGERS[name], PROMPT, SEEDS, Sampling(4, 2.5))
    assert_close(found, swapped(base, mixtures, 2.5), rtol=1e-4, atol=1e-4)


def test_an_accelerator_acts_in_every_step(backbone: Backbone, pair: list[LoRA]) -> None:
    fast = replace(times(pair[0], 0.5), name="lcm.safetensors")
    loras, sampling = [replace(lora, name=name) for lora, name in zip(pair, "ab", strict=True)], Sampling(4, 2.0)
    found = sample_composed(backbone, [*loras, fast], MERGERS["switch"], PROMPT, SEEDS, sampling, {"tau": 2})
    ones = Coefficients({layer: (torch.ones(()), torch.ones(())) for layer in fast.layers})
    both = [merge_exactly([lora, fast], ones) for lora in loras]
    assert_close(found, sample_composed(backbone, both, MERGERS["switch"], PROMPT, SEEDS, sampling, {"tau": 2}))


def test_balance_leaves_an_accelerator_as_it_is(backbone: Backbone, pair: list[LoRA]) -> None:
    fast = replace(times(pair[0], 0.1), name="lcm.safetensors")
    loras, sampling = [replace(lora, name=name) for lora, name in zip(pair, "ab", strict=True)], Sampling(3, 2.0)
    request = MergeRequest("switch", balance=1.0, options={"tau": 2})
    found = open_sampler(backbone, [*loras, fast], sampling, request)(PROMPT, SEEDS)
    balanced = [*balance_loras(loras, 1.0)[0], fast]
    assert_close(found, sample_composed(backbone, balanced, MERGERS["switch"], PROMPT, SEEDS, sampling, {"tau": 2}))


def test_weights_of_blocks_count_while_sampling(backbone: Backbone, pair: list[LoRA]) -> None:
    sampling = Sampling(2, 2.0)
    asked = MergeRequest("switch", weights=[1.0, 0.5], blocks={"up_blocks": [0.0, 1.0]})
    found = open_sampler(backbone, pair, sampling, asked)(PROMPT, SEEDS)
    weighted = weight_loras(pair, input_weights(pair, asked.weights, asked.blocks))
    assert_close(found, sample_composed(backbone, weighted, MERGERS["switch"], PROMPT, SEEDS, sampling))
    plain = open_sampler(backbone, pair, sampling, MergeRequest("switch", weights=[1.0, 0.5]))(PROMPT, SEEDS)
    assert (found - plain).abs().max() > 1e-3
    alone = open_sampler(backbone, pair[:1], sampling, MergeRequest(blocks={"up_blocks": 0.0}))(PROMPT, SEEDS)
    kept = {path: delta for path, delta in pair[0].layers.items() if not path.startswith("up_blocks.")}
    assert_close(alone, sample_loras(backbone, [replace(pair[0], layers=kept)], [PROMPT], SEEDS, sampling)[0])


def test_composite_of_equals_is_one_and_of_others_is_not(backbone: Backbone, pair: list[LoRA]) -> None:
    sampling, composite = Sampling(3, 2.5), MERGERS["composite"]
    plain = sample_loras(backbone, pair[:1], [PROMPT], SEEDS, sampling)[0]
    equal = sample_composed(backbone, [pair[0]] * 2, composite, PROMPT, SEEDS, sampling)
    assert_close(equal, plain, rtol=1e-4, atol=1e-4)
    other = sample_composed(backbone, pair, composite, PROMPT, SEEDS, sampling)
    assert (other - plain).abs().max() > 0.01


@pytest.mark.parametrize("as_tuple", [True, False])
@torch.no_grad()
def test_composite_averages_predictions(as_tuple: bool) -> None:
    model, x = tiny_unet(), unet_inputs(2)
    both = [lora_for(model, seed=seed) for seed in (1, 500)]
    alone = []
    for lora in both:
        with adapted(model, lora):
            alone.append(model(**x).sample)
    with scheduled(model, [tuple(both)]):
        answer = model(**x, return_dict=not as_tuple)
    found = answer[0] if as_tuple else answer.sample
    assert_close(found, (alone[0] + alone[1]) / 2, rtol=1e-4, atol=1e-5)
    assert (alone[0] - alone[1]).abs().max() > 0.01


@torch.no_grad()
def test_the_model_is_restored_and_extra_calls_are_refused() -> None:
    model, x = tiny_unet(), unet_inputs(1)
    before, lora = model(**x).sample, lora_for(model)
    with scheduled(model, [(lora,)]):
        assert (model(**x).sample - before).abs().max() > 0.01
        with pytest.raises(
            ValueError, match="expected at most 1 calls of the denoiser, one for each step of the schedule"
        ):
            model(**x)
    with pytest.raises(RuntimeError, match="boom"), scheduled(model, [(lora,)]):
        raise RuntimeError("boom")
    assert "forward" not in vars(model)
    assert torch.equal(model(**x).sample, before)
    own = model.forward
    model.forward = own  # as libraries do that wrap a model
    with scheduled(model, [(lora,)]):
        assert model.forward is not own
    assert model.forward is own


@torch.no_grad()
def test_a_step_without_the_unconditional_pass_adapts_the_second_half_of_the_batch() -> None:
    model, x = tiny_unet(), unet_inputs(4)
    lora = lora_for(model)
    plain = model(**x).sample
    with adapted(model, lora):
        changed = model(**x).sample
    steps = [Step((lora,), unguided=False), Step((), unguided=False), Step((lora,))]
    with scheduled(model, steps, passes=2):
        first, second, third = (model(**x).sample for _ in steps)
    assert_close(first, torch.cat([plain[:2], changed[2:]]), rtol=1e-4, atol=1e-5)
    assert torch.equal(second, plain)
    assert_close(third, changed, rtol=1e-4, atol=1e-5)
    with scheduled(model, steps[:1], passes=1):  # without guidance
        assert_close(model(**x).sample, changed, rtol=1e-4, atol=1e-5)
    assert (changed - plain).abs().max() > 0.01


@torch.no_grad()
def test_each_image_gets_the_delta_that_moves_the_layer_further() -> None:
    linear, conv = nn.Linear(6, 5), nn.Conv2d(2, 5, 3, padding=1)
    model = nn.ModuleDict({"a": linear, "b": conv})
    loras = [
        LoRA({"a": factors(5, 6, rank, 0.4, seed), "b": replace(factors(5, 18, rank, 0.4, seed + 7), kernel=(3, 3))})
        for rank, seed in ((2, 1), (3, 2))
    ]
    x, image = torch.randn(8, 4, 6), torch.randn(8, 2, 4, 4)
    with adapted_by_choice(model, loras):
        found = linear(x), conv(image).movedim(1, -1).flatten(1, 2)
    patches = torch.nn.functional.unfold(image, 3, padding=1).mT
    sides: set[int] = set()
    for layer, rows, output, base in (
        ("a", x, found[0], linear(x)),
        ("b", patches, found[1], conv(image).movedim(1, -1).flatten(1, 2)),
    ):
        for i in range(8):
            moved = [base[i] + rows[i] @ lora.layers[layer].delta().T for lora in loras]
            p = base[i].softmax(-1)
            divergences = [float((p * (p / m.softmax(-1)).log()).sum(-1).mean()) for m in moved]
            side = divergences.index(max(divergences))
            assert_close(output[i], moved[side], rtol=1e-4, atol=1e-5)
            sides.add(side)
    assert sides == {0, 1}


@pytest.mark.parametrize("name", ["kl_choice", "windows", "est_lora"])
def test_mergers_of_steps_sample(backbone: Backbone, pair: list[LoRA], name: str) -> None:
    sampling = Sampling(4, 2.5)
    found = sample_composed(backbone, pair, MERGERS[name], PROMPT, SEEDS, sampling)
    for lora in pair:
        alone = sample_loras(backbone, [lora], [PROMPT], SEEDS, sampling)[0]
        assert (found - alone).abs().max() > 0.01
    same = sample_composed(backbone, [pair[0]] * 2, MERGERS[name], PROMPT, SEEDS, sampling)
    alone = sample_loras(backbone, pair[:1], [PROMPT], SEEDS, sampling)[0]
    assert ((same - alone).abs().max() < 1e-4) == (name != "windows")  # which adds the two in the middle


def test_text_encoders_are_summed_and_norms_are_the_steps_own(backbone: Backbone, pair: list[LoRA]) -> None:
    width = backbone.pipeline.text_encoder.config.hidden_size
    texts = [factors(width, width, 2, 0.5, seed) for seed in (1, 2)]
    norm = next(la for la, m in backbone.denoiser.named_modules() if isinstance(m, nn.GroupNorm))
    n = backbone.denoiser.get_submodule(norm).num_channels
    with_more = [
        LoRA({**lora.layers, TEXT: text, norm: Dense(torch.full((n,), 0.2))})
        for lora, text in zip(pair, texts, strict=True)
    ]
    both = {
        TEXT: merge_exactly([LoRA({TEXT: text}) for text in texts], ONES).layers[TEXT],
        norm: Dense(torch.full((n,), 0.2)),
    }
    sampling = Sampling(2, 2.5)
    found = sample_composed(backbone, with_more, MERGERS["switch"], PROMPT, SEEDS, sampling)
    expected = LoRA({**pair[0].layers, **both})  # the first LoRA's turn
    assert_close(found, sample_loras(backbone, [expected], [PROMPT], SEEDS, sampling)[0], rtol=1e-4, atol=1e-4)


def test_other_kinds_and_options_are_refused(backbone: Backbone, pair: list[LoRA]) -> None:
    with pytest.raises(ValueError, match='kind "runtime", found ties of the kind "delta": merge first'):
        sample_composed(backbone, pair, MERGERS["ties"], PROMPT, SEEDS, Sampling(1))
    with pytest.raises(ValueError, match=r"an option of switch among tau, found 'ta': did you mean 'tau'"):
        sample_composed(backbone, pair, MERGERS["switch"], PROMPT, SEEDS, Sampling(1), {"ta": 1})
    with pytest.raises(ValueError, match="expected two LoRAs for K-LoRA"):
        sample_composed(backbone, pair[:1], MERGERS["klora"], PROMPT, SEEDS, Sampling(1))


def test_files_through_each_way_of_merging(base: Path, backbone: Backbone, pair: list[LoRA], tmp_path: Path) -> None:
    files = [tmp_path / "content.safetensors", tmp_path / "style.safetensors"]
    for lora, file in zip(pair, files, strict=True):
        save(lora, file, format="diffusers", dtype=torch.float32)
    sampling = Sampling(2, 2.5)
    doubled = times(pair[1], 2.0)
    expected = {
        "klora": sample_composed(backbone, [pair[0], doubled], MERGERS["klora"], PROMPT, [3], sampling)[0],
        "direct": sample_loras(
            backbone,
            [merge_exactly(pair, Coefficients({la: (torch.tensor(1.0), torch.tensor(2.0)) for la in pair[0].layers}))],
            [PROMPT],
            [3],
            sampling,
        )[0, 0],
    }
    for name, image in expected.items():
        request = MergeRequest(merger=name, weights=[1, 2])
        paths = generate_files(str(base), files, PROMPT, [3], sampling, tmp_path / name, request)
        found = torch.from_numpy(np.asarray(Image.open(paths[0])).copy()).permute(2, 0, 1) / 255
        assert_close(found, image, rtol=0, atol=1.1 / 255)
    (found,) = generate_files(backbone, pair, PROMPT, [3], sampling, tmp_path / "default")
    rule = MergeRequest(merger="auto")  # no network is shipped for this base
    (expected,) = generate_files(backbone, pair, PROMPT, [3], sampling, tmp_path / "sum", rule)
    assert found.read_bytes() == expected.read_bytes()
