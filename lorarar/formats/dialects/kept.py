"""Kept names: keys of a model that is not known, whose layers keep the names of the file.

lora_unet_<path>.lora_down.weight        the numbers in a joined path become names of their own: "blocks.3.x_y"
diffusion_model.<path>.lora_A.weight     ComfyUI's prefix and those of text encoders are removed
<path>.lora_A.weight                     any other path stays as it is
"""

from __future__ import annotations

import re

from lorarar.formats.algorithms.roles import split_key
from lorarar.formats.naming.keys import Key

_JOINED = re.compile(
    r"(?:lora_unet|lora_transformer|lycoris)_(?P<path>[^.]+)|lora_te(?P<encoder>[123]?)_(?P<text>[^.]+)"
)
_COMFYUI = re.compile(r"(?:model\.)?diffusion_model\.(?P<path>.+)|text_encoders\.(?P<text>.+)")
_ENCODERS = {"": "text_encoder", "1": "text_encoder", "2": "text_encoder_2", "3": "text_encoder_3"}


def parse(key: str) -> Key | None:
    """Parse a key by its prefix and its ending alone; return None for a key without a LoRA's ending."""
    parts = split_key(key.replace(".default.", "."))
    if parts is None:
        return None
    stem, role = parts
    if joined := _JOINED.fullmatch(stem):
        model = "" if joined["path"] else _ENCODERS[joined["encoder"]]
        return Key("kohya", model, _dotted(joined["path"] or joined["text"]), role)
    if named := _COMFYUI.fullmatch(stem):
        return Key("ComfyUI", "" if named["path"] else "text_encoder", named["path"] or named["text"], role)
    return Key("unknown", "", stem, role)


def _dotted(joined: str) -> str:
    """Return a joined path whose numbers stand between dots.

    >>> _dotted("blocks_3_self_attn_q")
    'blocks.3.self_attn_q'
    """
    return re.sub(r"(\.\d+)_", r"\1.", re.sub(r"_(\d+)(?=_|$)", r".\1", joined))
