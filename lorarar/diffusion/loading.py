"""Loading of base models from folders and hubs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline, FluxKontextPipeline, FluxPipeline
from torch import nn

from lorarar.diffusion.backbone import Backbone
from lorarar.lora import dtype_name, pick_device
from lorarar.storage import is_hub_id, local_path, path_remedy, progress, quiet_libraries, say_device


def load_backbone(
    base: str | Path,
    *,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
    gradient_checkpointing: bool = False,
    offload: bool = False,
) -> Backbone:
    """Load a base model from a folder or a hub id by diffusers' `from_pretrained`.

    Args:
        base: Folder or hub id.
        device: Where to load the model to, a name for `lorarar.lora.pick_device`.
        dtype: What the model computes in.
        gradient_checkpointing: Whether the denoiser computes activations again in backward, to save memory.
        offload: Whether the text encoders and the autoencoder lie on the CPU while they are not used.

    Raises:
        FileNotFoundError: `base` is a path, and there is no model in it, or a hub id that cannot be got.
        ValueError: The model is of a family that `Backbone` does not support.
    """
    if not is_hub_id(base):
        base = Path(base).expanduser()
        if not (base / "model_index.json").is_file():
            remedy = "check `base`" if base.exists() else path_remedy(base)
            raise FileNotFoundError(
                f"expected a diffusers model (a folder with model_index.json) at {base}, found none: {remedy}, "
                "or give a hub id such as stabilityai/stable-diffusion-xl-base-1.0"
            )
    quiet_libraries()
    place = pick_device(device)
    say_device(str(place), dtype_name(dtype))
    with progress(f"load {base}"):
        left_out = _left_out(base)
        # diffusers fetches from a hub only the files that it needs; `storage.local_path` would fetch every variant.
        pipeline = DiffusionPipeline.from_pretrained(base, dtype=dtype, **left_out)
        pipeline = pipeline if offload else pipeline.to(place)
    if isinstance(pipeline, FluxKontextPipeline):  # the parts of FLUX; `conditioned` shows it the condition images
        pipeline = FluxPipeline(**pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    backbone = Backbone(pipeline, offload=offload)
    backbone.denoiser.to(place)
    if gradient_checkpointing:
        denoiser: Any = backbone.denoiser
        denoiser.enable_gradient_checkpointing()
        denoiser.train()  # diffusers checkpoints in training mode only; no module here has dropout
    return backbone


def load_structure(base: Path) -> nn.Module:
    """Return the denoiser of a base in a folder without its weights, on the meta device.

    Args:
        base: Folder of a diffusers model.

    Raises:
        ValueError: The model has neither a UNet nor a transformer of diffusers.
    """
    index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    part = next((name for name in ("unet", "transformer") if name in index), "")
    kind: Any = getattr(diffusers, index[part][1], None) if part else None
    if kind is None:
        raise ValueError(f"expected a unet or a transformer of diffusers in {base}, found neither: choose another base")
    with torch.device("meta"):
        denoiser: nn.Module = kind.from_config(kind.load_config(base / part))
    return denoiser


def _left_out(base: str | Path) -> dict[str, None]:
    """Return the parts to leave out: those that the model lacks, such as T5, and the safety checker.

    diffusers expects the missing ones by name. The checker would black out some images: comparisons need the images as
    they were sampled.
    """
    index = json.loads((local_path(base, ["model_index.json"]) / "model_index.json").read_text(encoding="utf-8"))
    parts = {name: value for name, value in index.items() if isinstance(value, list | tuple)}
    return {name: None for name, value in parts.items() if value[0] is None or name == "safety_checker"}
