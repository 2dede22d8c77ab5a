"""ComfyUI and ai-toolkit dialect: the authors' path after `diffusion_model.`.

diffusion_model.input_blocks.4.1.*, diffusion_model.double_blocks.0.*, text_encoders.clip_l.transformer.*
"""

from __future__ import annotations

import re

from lorarar.formats.algorithms.roles import split_key
from lorarar.formats.naming.keys import Key, text_path
from lorarar.lora.families import FAMILIES

_DENOISER = re.compile(r"(?:model\.)?diffusion_model\.(?P<path>.+)")
_TEXT = re.compile(r"text_encoders\.(?P<name>clip_l|clip_g|t5xxl)\.transformer\.(?P<path>.+)")
_MODELS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2", "t5xxl": "text_encoder_3"}
# Starts of the paths in the naming schemes of `lorarar.formats.naming.originals`.
_ORIGINALS = re.compile(
    r"(?:input_blocks|middle_block|output_blocks|double_blocks|single_blocks|joint_blocks)\.|"
    r"(?:layers|noise_refiner|context_refiner)\.\d+\.attention\.(?:qkv|out|[qk]_norm)$|"
    r"(?:time_embed|label_emb|out|[tyx]_embedder|time_in|vector_in|guidance_in|final_layer)\.|"
    r"(?:img_in|txt_in|x_embedder|context_embedder)$"
)


def parse(key: str) -> Key | None:
    """Parse a key; return None for a key of another dialect."""
    parts = split_key(key.replace(".default.", "."))
    if parts is None:
        return None
    stem, role = parts
    if text := _TEXT.fullmatch(stem):
        return Key("ComfyUI", _MODELS[text["name"]], text_path(text["path"]), role)
    denoiser = _DENOISER.fullmatch(stem)
    return Key("ComfyUI", "", denoiser["path"], role) if denoiser and _is_supported(denoiser["path"]) else None


def _is_supported(path: str) -> bool:
    return bool(_ORIGINALS.match(path)) or any(family.shape.admits(path, ()) for family in FAMILIES.values())
