"""lorarar.diffusion.loading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

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
