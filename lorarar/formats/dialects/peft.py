"""The layout of peft: `base_model.model.X.lora_A.weight`, with alpha in `adapter_config.json` beside the weights.

The keys are read with diffusers', whose names they share. What is written also carries the configuration in the header,
so that a file that loses its neighbour still means the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from lorarar.formats.dialects.diffusers import low_rank_layers, shaped
from lorarar.formats.scaling import HEADER_KEY, Config, config_of, parse_config, split_config
from lorarar.lora import LoRA, is_text_encoder
from lorarar.storage import FormatError

CONFIG_NAME = "adapter_config.json"
_WEIGHTS_NAME = "adapter_model.safetensors"


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
        FormatError: The LoRA holds dense layers, or text-encoder layers: a peft adapter is for one model.
    """
    text = [layer for layer in lora.layers if is_text_encoder(layer)]
    if text:
        raise FormatError(
            f"peft's layout holds one model, and the LoRA has {len(text)} text-encoder layers, first {text[:3]}: "
            f"write it with --format diffusers or kohya"
        )
    layers = low_rank_layers(lora)
    config = config_of(layers)
    tensors: dict[str, Tensor] = {}
    for path, layer in layers.items():
        down, up = shaped(layer)
        tensors |= {f"base_model.model.{path}.lora_A.weight": down, f"base_model.model.{path}.lora_B.weight": up}
    return tensors, {HEADER_KEY: json.dumps(config, sort_keys=True)}, config


def weights_path(path: Path) -> Path:
    """The weights file for a path that may name a folder, which is made if need be.

    Raises:
        FormatError: The folder cannot be made.
    """
    if path.suffix == ".safetensors":
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{path} cannot be made: {error.strerror or error}: choose another folder") from error
    return path / _WEIGHTS_NAME
