"""lorarar.worlds.stages.pipelines: bases of several shapes that share the other parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.editing import conditioned
from lorarar.diffusion.loading import load_backbone
from lorarar.worlds.stages.pipelines import build_pipeline, parts_of
from lorarar.worlds.stages.recipes import Shape

SHAPES = {"unet": Shape(widths=(16, 32)), "transformer": Shape("transformer", (16,), 2)}


@pytest.mark.parametrize("kind", SHAPES)
@torch.no_grad()
def test_bases_share_what_they_take_over(kind: str, base: Path) -> None:
    first, second = (
        load_backbone(base, device="cpu"),
        Backbone(build_pipeline(parts_of(base), SHAPES[kind]), frozen=False),
    )
    prompts = ["a red cat in n1 style", ""]
    expected, found = first.encode_prompts(prompts), second.encode_prompts(prompts)
    assert_close(found.embeddings[:, :16], expected.embeddings)
    assert_close(found.pooled[:, -64:], expected.pooled)
    images = torch.rand(1, 3, 32, 32)
    assert_close(second.encode_images(images), first.encode_images(images))
    learned = {id(p) for part in second.modules() for p in part.parameters() if p.requires_grad}
    assert learned == {id(p) for p in second.denoiser.parameters() if p.requires_grad}


def test_a_shape_is_the_denoisers(base: Path) -> None:
    unet, transformer = (build_pipeline(parts_of(base), shape) for shape in SHAPES.values())
    assert unet.unet.config.block_out_channels == (16, 32)
    assert transformer.transformer.inner_dim == 16
    assert len(transformer.transformer.transformer_blocks) == 2


@torch.no_grad()
def test_flux_learns_its_t5_too_and_sees_condition_images(base: Path, tmp_path: Path) -> None:
    parts = parts_of(base)
    pipeline = build_pipeline(parts, Shape("flux", (64,), 1))
    made = Backbone(pipeline, frozen=False)
    assert made.denoiser.config.axes_dims_rope == (4, 6, 6)
    learned = {id(p) for part in made.modules() for p in part.parameters() if p.requires_grad}
    assert learned == {id(p) for part in (made.denoiser, pipeline.text_encoder_2) for p in part.parameters()}
    pipeline.save_pretrained(tmp_path)
    read = load_backbone(tmp_path, device="cpu")
    ids = parts.tokenizer(["a red cat"], padding="max_length", return_tensors="pt").input_ids
    words = read.encode_prompts(["a red cat"])
    assert_close(words.pooled, parts.first(ids).pooler_output)
    assert_close(words.embeddings, pipeline.text_encoder_2(ids)[0])
    assert (read.resolution, read.latent_shape, read.noise.sigmas[499]) == (32, (16, 8, 8), 0.5)
    noisy, time = torch.randn(1, 16, 8, 8), torch.tensor([500])
    with conditioned(read.denoiser, torch.randn(1, 3, 16, 8, 8)):
        seen = read.predict(noisy, time, words)
    assert seen.shape == noisy.shape
    assert not torch.allclose(seen, read.predict(noisy, time, words), atol=1e-4)


@torch.no_grad()
def test_the_first_encoders_pooled_state_is_passed_on(base: Path) -> None:
    parts = parts_of(base)
    pipeline = build_pipeline(parts, SHAPES["transformer"])
    ids = parts.tokenizer(["a red cat"], padding="max_length", return_tensors="pt").input_ids
    assert_close(pipeline.text_encoder(ids).text_embeds, parts.first(ids).pooler_output)
