"""lorarar.diffusion.sampling against diffusers' own pipeline with the merged file loaded by diffusers and by peft."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.generation import generate_files
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.sampling import (
    adapted_encoders,
    denoiser_part,
    sample_batches,
    sample_loras,
    starting_latents,
)
from lorarar.diffusion.settings import Sampling
from lorarar.formats.writing import save
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.methods.average import average
from lorarar.mergers.request import MergeRequest
from lorarar.storage.atomic import FormatError
from tests.tiny import factors, lora_for, tiny_unet

PROMPT, SEEDS = "a sks cat in szn style", [3, 4]


@pytest.fixture
def merged(loras: dict[str, LoRA]) -> LoRA:
    both = [loras["train_content_00"], loras["train_style_00"]]
    return merge_exactly(both, average(both))


def pipeline_images(backbone: Backbone, sampling: Sampling) -> Tensor:
    """The pipeline as a user calls it, with text in and nothing of ours but the noise."""
    images: Tensor = backbone.pipeline(
        prompt=[PROMPT] * len(SEEDS),
        latents=starting_latents(backbone, SEEDS),
        num_inference_steps=sampling.steps,
        guidance_scale=sampling.guidance,
        output_type="pt",
    ).images
    return images


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("format", ["diffusers", "peft"])
def test_images_equal_those_of_the_pipeline_with_the_file_loaded(
    base: Path, backbone: Backbone, merged: LoRA, guidance: float, format: str, tmp_path: Path
) -> None:
    sampling = Sampling(3, guidance)
    found = sample_loras(backbone, [merged], [PROMPT], SEEDS, sampling)[0]
    path = tmp_path / ("merged.safetensors" if format == "diffusers" else "merged")
    save(merged, path, format=format, dtype=torch.float32)  # type: ignore[arg-type]
    other = load_backbone(base, device="cpu")
    plain = pipeline_images(other, sampling)
    if format == "diffusers":
        other.pipeline.load_lora_weights(path)
    else:
        PeftModel.from_pretrained(other.pipeline.unet, path)
    expected = pipeline_images(other, sampling)
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (expected - plain).abs().max() > 0.01  # else the test proves nothing
    assert_close(sample_loras(backbone, [None], [PROMPT], SEEDS, sampling)[0], plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_a_batch_of_several_equals_one_by_one(backbone: Backbone, loras: dict[str, LoRA], guidance: float) -> None:
    several = [loras["train_content_00"], None, loras["train_style_00"]]
    prompts = ["a sks cat", "a red car", "a red car in szn style"]
    sampling = Sampling(2, guidance)
    together = sample_loras(backbone, several, prompts, SEEDS, sampling)
    assert together.shape == (3, 2, 3, 32, 32)
    for i, (lora, prompt) in enumerate(zip(several, prompts, strict=True)):
        for k, seed in enumerate(SEEDS):
            alone = sample_loras(backbone, [lora], [prompt], [seed], sampling)
            assert_close(together[i, k], alone[0, 0], rtol=1e-4, atol=1e-4)
    assert torch.equal(together, sample_loras(backbone, several, prompts, SEEDS, sampling))
    parts = list(sample_batches(backbone, several, prompts, SEEDS, sampling, batch=2))
    assert [len(part) for part in parts] == [2, 1]
    assert_close(torch.cat(parts), together, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="a prompt for each of 3 LoRAs, found 2 prompts"):
        sample_loras(backbone, several, prompts[:2], SEEDS, sampling)


def test_the_starting_noise_is_a_seeds_own(backbone: Backbone) -> None:
    latents = starting_latents(backbone, [7, 8])
    assert torch.equal(latents[1:], starting_latents(backbone, [8]))
    assert torch.equal(latents[0], torch.randn(16, 8, 8, generator=torch.Generator().manual_seed(7)))


def test_files_are_written_for_each_seed(base: Path, backbone: Backbone, merged: LoRA, tmp_path: Path) -> None:
    save(merged, tmp_path / "merged.safetensors", dtype=torch.float32)
    sampling = Sampling(2, 2.5)
    paths = generate_files(str(base), [tmp_path / "merged.safetensors"], PROMPT, SEEDS, sampling, tmp_path / "images")
    assert [path.name for path in paths] == ["3.png", "4.png"]
    expected = sample_loras(backbone, [merged], [PROMPT], SEEDS, sampling)[0]
    for path, image in zip(paths, expected, strict=True):
        found = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1) / 255
        assert_close(found, image, rtol=0, atol=1.1 / 255)


def text_lora(backbone: Backbone, seed: int) -> LoRA:
    """Deltas on a projection of each text encoder and on one attention layer, under the paths that files have."""
    layer = "text_model.encoder.layers.0.self_attn.q_proj"
    pipeline, layers = backbone.pipeline, dict(list(lora_for(backbone.denoiser, (2,), seed=seed).layers.items())[:1])
    for i, (name, encoder) in enumerate(
        (("text_encoder", pipeline.text_encoder), ("text_encoder_2", pipeline.text_encoder_2))
    ):
        width = encoder.config.hidden_size
        layers[f"{name}.{layer}"] = factors(width, width, 2, 0.5, seed + 50 + i)
    return LoRA(layers)


def with_added_weights(backbone: Backbone, lora: LoRA) -> None:
    """The reference: the deltas go into the weights of denoiser and text encoders."""
    for layer, delta in lora.layers.items():
        name, _, rest = layer.partition(".")
        model, path = (getattr(backbone.pipeline, name), rest) if "text_encoder" in name else (backbone.denoiser, layer)
        modules = dict(model.named_modules())
        modules.get(path, modules.get(path.removeprefix("text_model."))).weight.data += delta.delta()


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_text_encoders_are_adapted_too(base: Path, backbone: Backbone, guidance: float) -> None:
    several, sampling = [text_lora(backbone, 0), None, text_lora(backbone, 300)], Sampling(2, guidance)
    found = sample_loras(backbone, several, [PROMPT] * 3, SEEDS, sampling)
    for images, lora in zip(found, several, strict=True):
        other = load_backbone(base, device="cpu")
        if lora:
            unet_only = sample_loras(other, [denoiser_part(lora)], [PROMPT], SEEDS, sampling)[0]
            assert (images - unet_only).abs().max() > 1e-3  # else the text encoders prove nothing
            with_added_weights(other, lora)
        assert_close(images, pipeline_images(other, sampling), rtol=1e-4, atol=1e-4)


def test_offloading_changes_no_byte_of_the_images(base: Path, backbone: Backbone, tmp_path: Path) -> None:
    given = (str(base), [text_lora(backbone, 0)], PROMPT, SEEDS, Sampling(2, 2.5))
    plain, offloaded = (
        generate_files(*given, tmp_path / name, MergeRequest(device="cpu"), offload=name == "offloaded")
        for name in ("plain", "offloaded")
    )
    assert [file.read_bytes() for file in plain] == [file.read_bytes() for file in offloaded]


def test_an_offloaded_text_encoder_is_adapted_where_it_computes(
    base: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    offloaded, moves = load_backbone(base, device="cpu", offload=True), list[str]()
    monkeypatch.setattr(Backbone, "device", "elsewhere")
    for encoder in offloaded.encoders.values():
        monkeypatch.setattr(encoder, "to", moves.append)
    with adapted_encoders(offloaded, [text_lora(backbone, 0)]):
        assert moves == ["elsewhere", "cpu"] * 2
    with adapted_encoders(offloaded, [denoiser_part(text_lora(backbone, 0)), None]):
        assert len(moves) == 4  # nothing to place


def test_text_encoder_layers_of_another_base_are_refused(backbone: Backbone) -> None:
    lora = LoRA({"text_encoder.text_model.encoder.layers.9.self_attn.q_proj": factors(4, 4, 1)}, name="cat")
    with pytest.raises(
        ValueError, match=r"expected every layer of cat in this base.*layers\.9\.self_attn\.q_proj is not in"
    ):
        sample_loras(backbone, [lora], [PROMPT], SEEDS, Sampling(1))


def test_nothing_is_written_for_a_lora_that_cannot_be_used(base: Path, tmp_path: Path) -> None:
    save(lora_for(tiny_unet()), tmp_path / "other.safetensors")
    with pytest.raises(FormatError, match="none.safetensors does not exist"):
        generate_files(str(base), [tmp_path / "none.safetensors"], PROMPT, SEEDS, Sampling(2), tmp_path / "images")
    with pytest.raises(ValueError, match="every layer of other.safetensors in this base, found"):
        generate_files(str(base), [tmp_path / "other.safetensors"], PROMPT, SEEDS, Sampling(2), tmp_path / "images")
    assert not list((tmp_path / "images").glob("*"))
