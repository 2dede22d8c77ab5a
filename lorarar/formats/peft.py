"""The layout of peft: `base_model.model.X.lora_A.weight`, or bare `X.lora_A.weight`.

alpha is in `adapter_config.json` beside the weights. What is written also carries it in the header, so that a file that
loses its neighbour still means the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from lorarar.formats.files import FormatError
from lorarar.formats.pairing import ROLES, Role, strip_prefix
from lorarar.formats.scaling import HEADER_KEY, Config, config_of, parse_config, split_config
from lorarar.lora import LoRA, is_text_encoder

CONFIG_NAME = "adapter_config.json"
_KEY = re.compile(r"^(?P<layer>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight$")


def parse(key: str) -> tuple[str, Role] | None:
    """(layer path, role) of a key, or None where the key belongs to another dialect."""
    if key.startswith(("lora_", "diffusion_model.")):
        return None  # kohya and ComfyUI name the layers otherwise
    found = _KEY.match(key)
    return (strip_prefix(found["layer"]), ROLES[found["part"]]) if found else None


def read_config(path: Path) -> dict[str, Config]:
    """The configuration beside a weights file, by model; empty where there is none.

    Raises:
        FormatError: It is there and is no JSON object.
    """
    beside = path.with_name(CONFIG_NAME)
    if not beside.is_file():
        return {}
    try:
        return split_config(parse_config(beside.read_text(encoding="utf-8")))
    except ValueError as error:
        raise FormatError(f"{beside}: {error}") from error


def write(lora: LoRA) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    """Tensors, header, and the content of adapter_config.json.

    Raises:
        FormatError: The LoRA holds text-encoder layers: a peft adapter is for one model.
    """
    text = [layer for layer in lora.layers if is_text_encoder(layer)]
    if text:
        raise FormatError(
            f"peft's layout holds one model, and the LoRA has {len(text)} text-encoder layers, first {text[:3]}: "
            f'write it with format="diffusers"'
        )
    config = config_of(lora.layers)
    tensors = {f"base_model.model.{layer}.lora_A.weight": f.A for layer, f in lora.layers.items()}
    tensors |= {f"base_model.model.{layer}.lora_B.weight": f.B for layer, f in lora.layers.items()}
    return tensors, {HEADER_KEY: json.dumps(config, sort_keys=True)}, config
