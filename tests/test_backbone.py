"""lorarar.backbone against the pipeline's own parts and written-out formulas."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from torch.testing import assert_close

from lorarar.backbone import Backbone, Conditioning, load_backbone, stack


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


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_noise_and_targets(backbone: Backbone, kind: str) -> None:
    backbone.noise = DDPMScheduler.from_config(backbone.noise.config, prediction_type=kind)
    x, noise, timesteps = torch.randn(2, 16, 8, 8), torch.randn(2, 16, 8, 8), torch.tensor([3, 900])
    a = backbone.noise.alphas_cumprod[timesteps].view(2, 1, 1, 1)
    assert_close(backbone.add_noise(x, noise, timesteps), a.sqrt() * x + (1 - a).sqrt() * noise)
    expected = {"epsilon": noise, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * x, "sample": x}
    assert_close(backbone.target(x, noise, timesteps), expected[kind])


def test_an_unknown_prediction_type_is_refused(backbone: Backbone) -> None:
    backbone.noise.register_to_config(prediction_type="flow")
    with pytest.raises(ValueError, match="epsilon, v_prediction or sample, found 'flow'"):
        backbone.target(*[torch.zeros(1, 16, 8, 8)] * 2, torch.tensor([1]))


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


def test_a_loaded_base_is_frozen_and_of_the_wanted_type(base: Path) -> None:
    backbone = load_backbone(base, dtype=torch.bfloat16, gradient_checkpointing=True)
    assert {p.dtype for part in backbone.modules() for p in part.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for part in backbone.modules() for p in part.parameters())
    assert backbone.denoiser.is_gradient_checkpointing
    assert backbone.denoiser.training
    assert backbone.dtype == torch.bfloat16


def test_conditioning_is_stacked_and_sliced() -> None:
    a = Conditioning(torch.randn(2, 3, 4), torch.randn(2, 5))
    b = Conditioning(torch.randn(1, 3, 4), torch.randn(1, 5))
    both = stack([a, b])
    assert torch.equal(both[2:].pooled, b.pooled)
    assert torch.equal(both[torch.tensor([1, 0])].embeddings, a.embeddings.flip(0))


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder with model_index.json.*found none"):
        load_backbone(tmp_path)
    with pytest.raises(TypeError, match="expected a StableDiffusionXLPipeline, found DiffusionPipeline"):
        Backbone(DiffusionPipeline())
