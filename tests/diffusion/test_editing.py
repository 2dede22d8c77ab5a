"""lorarar.diffusion.editing: conditions as channels of a UNet and as tokens of FLUX, against diffusers' Kontext."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FluxKontextPipeline
from torch import nn

from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.editing import conditioned, widen
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.sampling import sample_prompts
from lorarar.diffusion.settings import Sampling
from tests.pipelines import shrunken_flux


def test_a_widened_unet_starts_as_it_was(backbone: Backbone) -> None:
    noisy = torch.randn(2, *backbone.latent_shape)
    times, words = torch.tensor([10, 900]), backbone.encode_prompts(["a cat"] * 2)
    before, shape = backbone.predict(noisy, times, words), backbone.latent_shape
    condition = torch.randn(2, 3, *shape)
    widen(backbone.denoiser, 3)
    with conditioned(backbone.denoiser, condition):
        assert torch.allclose(backbone.predict(noisy, times, words), before, atol=1e-6)
    with torch.no_grad():
        backbone.denoiser.conv_in.weight[:, -shape[0] :] = 1  # the last image counts now
    with conditioned(backbone.denoiser, condition):
        seen = backbone.predict(noisy, times, words)
    with conditioned(backbone.denoiser, condition * torch.tensor([2.0, 2.0, 1.0]).view(3, 1, 1, 1)):
        assert torch.allclose(backbone.predict(noisy, times, words), seen)
    assert not torch.allclose(seen, before, atol=1e-3)
    assert Backbone(backbone.pipeline).latent_shape == shape


def test_a_condition_that_does_not_fit_is_named(backbone: Backbone) -> None:
    noisy, times = torch.randn(2, *backbone.latent_shape), torch.tensor([1, 1])
    words = backbone.encode_prompts(["a cat"] * 2)
    with (
        pytest.raises(ValueError, match="takes 32 channels, for 1 condition images, found one that takes 16"),
        conditioned(backbone.denoiser, torch.zeros(2, 1, *backbone.latent_shape)),
    ):
        backbone.predict(noisy, times, words)
    widen(backbone.denoiser, 1)
    with (
        pytest.raises(ValueError, match="a multiple of 3, the number of conditions, found 2"),
        conditioned(backbone.denoiser, torch.zeros(3, 1, *backbone.latent_shape)),
    ):
        backbone.predict(noisy, times, words)
    with (
        pytest.raises(ValueError, match="FLUX's transformer, found Linear"),
        conditioned(nn.Linear(1, 1), torch.zeros(1, 1, 4, 8, 8)),
    ):
        pass


@pytest.mark.slow
def test_tokens_of_the_condition_are_those_of_kontext(tmp_path: Path) -> None:
    flux = shrunken_flux()
    kontext = FluxKontextPipeline(**flux.components)
    kontext.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, device="cpu")
    latents = torch.randn(1, *backbone.latent_shape, generator=torch.Generator().manual_seed(3))
    words = backbone.encode_prompts(["a cat"])
    arguments = backbone.architecture.call_arguments(torch.randn(1, *backbone.latent_shape), words, None)
    kontext.set_progress_bar_config(disable=True)
    expected = kontext(
        image=latents,
        **arguments,
        height=backbone.resolution,
        width=backbone.resolution,
        max_area=backbone.resolution**2,
        num_inference_steps=2,
        guidance_scale=1.0,
        output_type="pt",
        _auto_resize=False,
    ).images
    noise = backbone.pipeline._unpack_latents(arguments["latents"], backbone.resolution, backbone.resolution, 8)
    with torch.no_grad(), conditioned(backbone.denoiser, latents[:, None]):
        found = backbone.sample(words, noise, 2, 1.0)
    assert torch.allclose(found, expected, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(backbone.sample(words, noise, 2, 1.0), expected, atol=1e-3)
    assert sample_prompts(backbone, ["a cat"], [0], Sampling(1, 1.0)).shape == (1, 3, 64, 64)
