"""lorarar.backbone.loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lorarar.backbone import load_backbone
from tests.pipelines import shrunken_sd15


def test_a_loaded_base_is_frozen_and_of_the_wanted_type(base: Path) -> None:
    backbone = load_backbone(base, dtype=torch.bfloat16, gradient_checkpointing=True)
    assert {p.dtype for part in backbone.modules() for p in part.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for part in backbone.modules() for p in part.parameters())
    assert backbone.denoiser.is_gradient_checkpointing
    assert backbone.denoiser.training
    assert backbone.dtype == torch.bfloat16


def test_images_are_compared_as_they_were_made(tmp_path: Path) -> None:
    pipeline = shrunken_sd15()
    pipeline.save_pretrained(tmp_path)
    assert load_backbone(tmp_path).pipeline.safety_checker is None


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder with model_index.json.*found none"):
        load_backbone(tmp_path)
