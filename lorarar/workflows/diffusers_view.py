"""diffusers' view of a LoRA file: the layers that its loader returns, and their strength."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import torch

from lorarar.formats import StoredLoRA, ToolView, sketches
from lorarar.lora import Layer, LoRA, LowRank
from lorarar.lora.families import FAMILIES

_PIPELINES = {
    "sd15": "StableDiffusion", "sd2": "StableDiffusion", "sdxl": "StableDiffusionXL", "koala": "StableDiffusionXL",
    "sd3": "StableDiffusion3", "sd35-medium": "StableDiffusion3", "sd35-large": "StableDiffusion3", "flux": "Flux",
    "qwen-image": "QwenImage", "z-image": "ZImage", "wan-14b": "Wan", "wan-5b": "Wan", "wan-1.3b": "Wan",
    "hunyuan-video": "HunyuanVideo", "lumina2": "Lumina2", "ltx-video": "LTX", "ltx2": "LTX2",
    "flux2-dev": "Flux2", "flux2-klein-9b": "Flux2", "flux2-klein-4b": "Flux2", "chroma": "Chroma",
    "hidream": "HiDreamImage", "krea2": "Krea2", "ideogram4": "Ideogram4", "qwen-image-2.1": "QwenImage21",
}  # fmt: skip
_DOWN, _PART = ".lora_A.weight", "layers of the denoiser"


def diffusers_view(stored: StoredLoRA, found: LoRA) -> ToolView | None:
    """Return what diffusers' loader makes of the denoiser's layers of a file; None without diffusers, or its pipeline.

    Args:
        stored: The file.
        found: Its deltas.
    """
    name = _PIPELINES.get(stored.family)
    try:
        import diffusers
    except ImportError:
        return None
    if name is None:
        return None
    ours = {path: layer for path, layer in found.layers.items() if not path.startswith("text_encoder")}
    try:
        theirs = _loaded(getattr(diffusers, f"{name}Pipeline"), stored, found)
    except (ValueError, LookupError, RuntimeError, AttributeError) as error:
        ignored = dict.fromkeys(ours, f"it refuses the file: {str(error)[:80]}")
        return ToolView("diffusers", len(ours), ignored, {}, _PART)
    ignored = {path: "its loader drops it" for path in ours if path not in theirs}
    own = sketches({path: layer for path, layer in ours.items() if path in theirs})
    other = sketches({path: theirs[path] for path in own})
    strengths: Counter[float] = Counter()
    for path, sketch in own.items():
        size = float(sketch.square().sum())
        strength = float((sketch * other[path]).sum()) / size if size else 1.0
        strengths[1.0 if abs(strength - 1) < 0.01 else round(strength, 3)] += 1
    return ToolView("diffusers", len(ours), ignored, dict(strengths), _PART)


@torch.no_grad()
def _loaded(pipeline: Any, stored: StoredLoRA, found: LoRA) -> dict[str, Layer]:
    """Return path -> delta of the denoiser's layers that diffusers' loader returns."""
    from diffusers.utils import convert_unet_state_dict_to_peft

    family, options = FAMILIES[stored.family], {}
    if family.denoiser == "unet":
        options["unet_config"] = SimpleNamespace(layers_per_block=family.layers_per_block or 1)
    folder, name = str(stored.path.parent), stored.path.name
    result = pipeline.lora_state_dict(folder, weight_name=name, return_lora_metadata=True, **options)
    state, alphas = convert_unet_state_dict_to_peft(result[0]), result[1] if len(result) > 2 else {}
    alphas = convert_unet_state_dict_to_peft(alphas or {})
    layers: dict[str, Layer] = {}
    for key, down in state.items():
        stem, path = key.removesuffix(_DOWN), key.removesuffix(_DOWN).removeprefix(f"{family.denoiser}.")
        if stem in (key, path):
            continue
        up, rank, own = state[f"{stem}.lora_B.weight"], len(down), found.layers.get(path)
        scale = float(alphas.get(f"{key}.alpha", alphas.get(f"{stem}.alpha", rank))) / rank
        if result[-1] and isinstance(own, LowRank):
            scale = own.scale  # the header of the file, which diffusers reads as we do
        layers[path] = LowRank(up.flatten(1).float(), down.flatten(1).float(), scale)
    return layers
