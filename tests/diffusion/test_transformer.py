"""lorarar.diffusion.transformer: FLUX's packing against diffusers' own, prompts of SD3 without T5, guidance."""

from __future__ import annotations

import torch
from diffusers import FluxPipeline
from torch.testing import assert_close

from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.transformer import pack, positions, unpack
from tests.pipelines import shrunken_flux, shrunken_sd3


def test_tokens_are_those_of_the_pipeline() -> None:
    latents = torch.randn(2, 16, 6, 4)
    tokens = pack(latents)
    assert torch.equal(tokens, FluxPipeline._pack_latents(latents, 2, 16, 6, 4))
    assert torch.equal(unpack(tokens, 3, 2), latents)
    assert torch.equal(positions(3, 2).float(), FluxPipeline._prepare_latent_image_ids(1, 3, 2, "cpu", torch.float32))


@torch.no_grad()
def test_a_model_without_guidance_gets_none() -> None:
    backbone = Backbone(shrunken_flux(guidance=False))
    latents = torch.randn(1, *backbone.latent_shape)
    found = backbone.predict(latents, torch.tensor([500]), backbone.encode_prompts(["a cat"]))
    assert found.shape == latents.shape


@torch.no_grad()
def test_sd3_works_without_t5() -> None:
    pipeline = shrunken_sd3()
    with_t5 = Backbone(pipeline).encode_prompts(["a cat"])
    pipeline.register_modules(text_encoder_3=None, tokenizer_3=None)
    backbone = Backbone(pipeline)
    found = backbone.encode_prompts(["a cat"])
    assert list(backbone.encoders) == ["text_encoder", "text_encoder_2"]
    assert found.embeddings.shape == with_t5.embeddings.shape == (1, 16 + 16, 32)
    assert_close(found.embeddings[:, :16], with_t5.embeddings[:, :16])
    assert not found.embeddings[:, 16:].any()
