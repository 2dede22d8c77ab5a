"""lorarar.diffusion.loading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.diffusion.loading import _left_out, load_backbone


def test_a_loaded_base_is_frozen_and_of_the_given_dtype(base: Path) -> None:
    backbone = load_backbone(base, dtype=torch.bfloat16, gradient_checkpointing=True, device="cpu")
    assert {p.dtype for part in backbone.modules() for p in part.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for part in backbone.modules() for p in part.parameters())
    assert backbone.denoiser.is_gradient_checkpointing
    assert backbone.denoiser.training
    assert backbone.dtype == torch.bfloat16


def test_absent_parts_and_the_safety_checker_are_left_out(tmp_path: Path) -> None:
    index = {
        "_class_name": "StableDiffusionPipeline",
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "text_encoder_3": [None, None],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "requires_safety_checker": True,
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert _left_out(tmp_path) == {"safety_checker": None, "text_encoder_3": None}


@pytest.mark.parametrize("as_text", [False, True])
def test_a_folder_without_a_model_is_named(tmp_path: Path, as_text: bool) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder with model_index.json\) at .*, found none: check `base`"):
        load_backbone(str(tmp_path) if as_text else tmp_path, device="cpu")


def test_a_relative_path_is_not_taken_for_a_hub_id() -> None:
    with pytest.raises(FileNotFoundError, match="at nowhere/at/all, found none"):
        load_backbone("nowhere/at/all", device="cpu")


def test_offloaded_parts_lie_on_the_cpu_and_give_the_same(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, offloaded = load_backbone(base, device="cpu"), load_backbone(base, device="cpu", offload=True)
    moves: list[str] = []
    for part in (offloaded.pipeline.vae, *offloaded.encoders.values()):
        monkeypatch.setattr(part, "to", lambda place: moves.append(str(place)))
    images, latents = torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, *whole.latent_shape)
    found, expected = ((b.encode_prompts(["a cat"]), b.encode_images(images)) for b in (offloaded, whole))
    assert_close(found[0].embeddings, expected[0].embeddings)
    assert_close(found[1], expected[1])
    assert (
        moves == ["cpu"] * 6
    )  # two encoders and the autoencoder: to the denoiser's device, which is the CPU, and back
    encoders = offloaded.encoders
    samples = [b.sample(found[0], latents, 2, 1.0) for b in (offloaded, whole)]
    assert_close(*samples)
    assert offloaded.encoders == encoders
