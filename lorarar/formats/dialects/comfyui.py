"""ComfyUI and ai-toolkit dialect: the authors' path after `diffusion_model.`.

diffusion_model.input_blocks.4.1.*, diffusion_model.double_blocks.0.*, text_encoders.clip_l.transformer.*
"""

from __future__ import annotations

import re

from torch import Tensor

from lorarar.formats.algorithms.roles import split_key
from lorarar.formats.dialects.diffusers import factor_tensors, low_rank_layers
from lorarar.formats.naming.fusing import fuse_layers
from lorarar.formats.naming.keys import Key, text_path
from lorarar.formats.naming.originals import comfyui_scheme
from lorarar.lora import LoRA, LowRank, is_text_encoder
from lorarar.lora.families import FAMILIES, Family
from lorarar.storage import FormatError

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


def write(lora: LoRA, family: Family | None) -> dict[str, Tensor]:
    """Return the tensors of a file for a transformer, with the authors' names.

    Raises:
        FormatError: The model is a UNet or not known, a layer is dense, or belongs to a text encoder, or has no name.
    """
    if family is None or family.denoiser != "transformer":
        found = family.label if family else "a model that is not known"
        raise FormatError(
            f"expected a transformer that is known, to write it in ComfyUI's names, found {found}: write with "
            '`format="kohya"` or `format="same"`'
        )
    layers = low_rank_layers(lora)
    text = next(filter(is_text_encoder, layers), "")
    if text:
        raise FormatError(f'expected layers of the denoiser, found {text}: write the LoRA with `format="kohya"`')
    scheme = comfyui_scheme(family.key)
    try:
        named = fuse_layers(layers, scheme) if scheme else layers
    except ValueError as error:
        raise FormatError(str(error)) from error
    tensors: dict[str, Tensor] = {}
    for path, layer in named.items():
        if isinstance(layer, LowRank):
            tensors |= factor_tensors(f"diffusion_model.{path}", layer)
    return tensors


def _is_supported(path: str) -> bool:
    return bool(_ORIGINALS.match(path)) or any(family.shape.admits(path, ()) for family in FAMILIES.values())
