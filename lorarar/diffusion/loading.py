"""Base models from folders and hubs."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from lorarar.diffusion.backbone import Backbone


def load_backbone(
    base: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32, gradient_checkpointing: bool = False
) -> Backbone:
    """Load a base model from a folder or a hub id through diffusers' ``from_pretrained``.

    Raises:
        FileNotFoundError: ``base`` looks like a path but there is no model in it.
        TypeError: the model is of a family that `Backbone` does not know.
    """
    path = Path(base)
    looks_local = isinstance(base, Path) or str(base).startswith((".", "/", "~")) or str(base).count("/") > 1
    looks_local = looks_local or (len(path.parts) > 1 and Path(path.parts[0]).is_dir())
    if looks_local and not (path / "model_index.json").is_file():
        raise FileNotFoundError(
            f"expected a diffusers model (a folder with model_index.json) at {path}, found none: "
            "check --base, or give a hub id such as stabilityai/stable-diffusion-xl-base-1.0"
        )
    pipeline = DiffusionPipeline.from_pretrained(base, dtype=dtype, **_left_out(base)).to(device)
    pipeline.set_progress_bar_config(disable=True)
    backbone = Backbone(pipeline)
    if gradient_checkpointing:
        backbone.denoiser.enable_gradient_checkpointing()
        backbone.denoiser.train()  # diffusers checkpoints in training mode only; nothing here drops out
    return backbone


def _left_out(base: str | Path) -> dict[str, None]:
    """The parts that a model lacks, such as T5 (diffusers wants to be told), and the safety checker.

    The checker would paint some images black: what is compared must be what was made.
    """
    index = DiffusionPipeline.load_config(base)
    parts = {name: value for name, value in index.items() if isinstance(value, list | tuple)}
    return {name: None for name, value in parts.items() if value[0] is None or name == "safety_checker"}
