"""lorarar.diffusion.backbone against the pipeline's own parts and written-out formulas."""

from __future__ import annotations

import pytest
import torch
from diffusers import DiffusionPipeline, FluxPipeline, StableDiffusion3Pipeline
from torch.testing import assert_close

from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.noise import Flow
from lorarar.diffusion.transformer import pack, unpack
from tests.pipelines import SHRUNKEN


@torch.no_grad()
def test_prompts_are_encoded_by_both_text_encoders(backbone: Backbone) -> None:
    prompts, pipeline = ["a sks cat", "a red car in szn style"], backbone.pipeline
    found = backbone.encode_prompts(prompts)
    ids = pipeline.tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids
    first = pipeline.text_encoder(ids, output_hidden_states=True)
    second = pipeline.text_encoder_2(ids, output_hidden_states=True)
    assert_close(found.embeddings, torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1))
    assert_close(found.pooled, second.text_embeds)
    assert not torch.allclose(found.pooled[0], found.pooled[1])


def test_images_become_the_scaled_mean_of_the_posterior(backbone: Backbone) -> None:
    vae, images = backbone.pipeline.vae, torch.rand(2, 3, 32, 32) * 2 - 1
    vae.register_to_config(scaling_factor=0.25)
    assert_close(backbone.encode_images(images), vae.encode(images).latent_dist.mean * 0.25)


@torch.no_grad()
def test_prediction_tells_the_base_its_own_resolution(backbone: Backbone) -> None:
    noisy, timesteps = torch.randn(2, 16, 8, 8), torch.tensor([3, 900])
    prompts = backbone.encode_prompts(["a cat", "a car"])
    time_ids = torch.tensor([[32.0, 32.0, 0.0, 0.0, 32.0, 32.0]] * 2)
    expected = [
        backbone.pipeline.unet(
            noisy[i : i + 1],
            timesteps[i],
            prompts.embeddings[i : i + 1],
            added_cond_kwargs={"text_embeds": prompts.pooled[i : i + 1], "time_ids": time_ids[i : i + 1]},
        ).sample
        for i in range(2)
    ]
    assert_close(backbone.predict(noisy, timesteps, prompts), torch.cat(expected), rtol=1e-4, atol=1e-5)
    assert backbone.resolution == 32


@pytest.fixture(params=SHRUNKEN)
def shrunken(request: pytest.FixtureRequest) -> Backbone:
    pipeline = SHRUNKEN[request.param]()
    pipeline.set_progress_bar_config(disable=True)
    return Backbone(pipeline)


def test_shapes_are_the_pipelines(shrunken: Backbone) -> None:
    assert shrunken.resolution == 64
    assert shrunken.latent_shape == (shrunken.pipeline.vae.config.latent_channels, 8, 8)
    assert shrunken.modules()[:2] == [shrunken.denoiser, shrunken.pipeline.vae]
    assert len(shrunken.encoders) == len([key for key in shrunken.pipeline.components if "text_encoder" in key])


def test_latents_are_what_the_pipeline_decodes(shrunken: Backbone) -> None:
    vae, images = shrunken.pipeline.vae, torch.rand(2, 3, 64, 64) * 2 - 1
    found = shrunken.encode_images(images) / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
    assert_close(found, vae.encode(images).latent_dist.mean)


@torch.no_grad()
def test_prediction_is_the_pipelines_own(shrunken: Backbone) -> None:
    """At the pipeline's first step, from what it gave to its denoiser."""
    prompt, calls = "a sks cat in szn style", []
    handle = shrunken.denoiser.register_forward_hook(
        lambda module, inputs, named, output: calls.append((inputs, output[0])), with_kwargs=True
    )
    start = torch.randn(1, *shrunken.latent_shape, generator=torch.Generator().manual_seed(0))
    length = {"max_sequence_length": 16} if isinstance(shrunken.pipeline, StableDiffusion3Pipeline) else {}
    length = {"max_sequence_length": 12} if isinstance(shrunken.pipeline, FluxPipeline) else length
    latents = pack(start) if isinstance(shrunken.pipeline, FluxPipeline) else start
    shrunken.pipeline(
        prompt,
        latents=latents,
        height=64,
        width=64,
        num_inference_steps=1,
        guidance_scale=1.0,
        output_type="latent",
        **length,
    )
    handle.remove()
    inputs, answer = calls[0]
    if isinstance(shrunken.noise, Flow):
        noisy, timestep = start, 999
    else:
        noisy, timestep = inputs[0], int(inputs[1])
    found = shrunken.predict(noisy, torch.tensor([timestep]), shrunken.encode_prompts([prompt]))
    assert_close(found, unpack(answer, 4, 4) if isinstance(shrunken.pipeline, FluxPipeline) else answer)


@torch.no_grad()
def test_images_are_the_pipelines_own(shrunken: Backbone) -> None:
    prompts = ["a sks cat", "a red car in szn style"]
    start = torch.randn(2, *shrunken.latent_shape, generator=torch.Generator().manual_seed(0))
    found = shrunken.sample(shrunken.encode_prompts(prompts), start, 2, 3.0)
    flux = isinstance(shrunken.pipeline, FluxPipeline)
    length = {"max_sequence_length": 12} if flux else {}
    length = {"max_sequence_length": 16} if isinstance(shrunken.pipeline, StableDiffusion3Pipeline) else length
    images = shrunken.pipeline(
        prompts,
        latents=pack(start) if flux else start,
        height=64,
        width=64,
        num_inference_steps=2,
        guidance_scale=3.0,
        output_type="pt",
        **length,
    ).images
    assert_close(found, images)
    assert shrunken.passes(3.0) == (1 if flux else 2)
    assert shrunken.passes(1.0) == 1


def test_sampler_calls_are_counted(shrunken: Backbone) -> None:
    calls = []
    handle = shrunken.denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    shrunken.sample(shrunken.encode_prompts(["a cat"]), torch.zeros(1, *shrunken.latent_shape), 3, 1.0)
    handle.remove()
    assert shrunken.sampler_calls(3) == len(calls)


@pytest.mark.parametrize("offload", [True, False])
def test_an_offloaded_denoiser_makes_room_for_another_base(offload: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, moves = Backbone(SHRUNKEN["sdxl"](), offload=offload), list[str]()
    monkeypatch.setattr(Backbone, "device", "a GPU")
    monkeypatch.setattr(backbone.denoiser, "to", moves.append)
    with backbone.set_aside():
        assert moves == (["cpu"] if offload else ["a GPU"])
    assert moves[1:] == ["a GPU"]


def test_another_pipeline_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a pipeline among Sta.*, FluxPipeline, found DiffusionPipeline"):
        Backbone(DiffusionPipeline())
