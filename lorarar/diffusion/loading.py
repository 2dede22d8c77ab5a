"""Loading of base models from folders and hubs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from lorarar.diffusion.backbone import Backbone
from lorarar.storage import is_hub_id


def load_backbone(
    base: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32, gradient_checkpointing: bool = False
) -> Backbone:
    """Load a base model from a folder or a hub id by diffusers' `from_pretrained`.

    Args:
        base: Folder or hub id.
        device: Where to load the model to.
        dtype: What the model computes in.
        gradient_checkpointing: Whether the denoiser computes activations again in backward, to save memory.

    Raises:
        FileNotFoundError: `base` is a path, and there is no model in it.
        TypeError: The model is of a family that `Backbone` does not support.
    """
    if not is_hub_id(base):
        base = Path(base).expanduser()
        if not (base / "model_index.json").is_file():
            raise FileNotFoundError(
                f"expected a diffusers model (a folder with model_index.json) at {base}, found none: "
                "check --base, or give a hub id such as stabilityai/stable-diffusion-xl-base-1.0"
            )
    # diffusers fetches from a hub only the files that it needs; `storage.local_path` would fetch every variant.
    pipeline = DiffusionPipeline.from_pretrained(base, dtype=dtype, **_left_out(base)).to(device)
    pipeline.set_progress_bar_config(disable=True)
    backbone = Backbone(pipeline)
    if gradient_checkpointing:
        denoiser: Any = backbone.denoiser
        denoiser.enable_gradient_checkpointing()
        denoiser.train()  # diffusers checkpoints in training mode only; no module here has dropout
    return backbone


def _left_out(base: str | Path) -> dict[str, None]:
    """Return the parts to leave out: those that the model lacks, such as T5, and the safety checker.

    diffusers expects the missing ones by name. The checker would black out some images: comparisons need the images as
    they were sampled.
    """
    index = DiffusionPipeline.load_config(base)
    parts = {name: value for name, value in index.items() if isinstance(value, list | tuple)}
    return {name: None for name, value in parts.items() if value[0] is None or name == "safety_checker"}
