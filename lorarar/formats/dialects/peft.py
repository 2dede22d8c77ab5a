"""peft dialect: `base_model.model.X.lora_A.weight`, with alpha in `adapter_config.json` beside the weights.

The diffusers dialect reads the keys because both have the same names. A written file also carries the configuration in
its header, so that its scales are known without `adapter_config.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from lorarar.formats.dialects.diffusers import low_rank_layers, stored_factors
from lorarar.formats.scaling import ADAPTER_METADATA_KEY, AdapterConfig, config_of, parse_config, split_config
from lorarar.lora import LoRA, is_text_encoder
from lorarar.storage import FormatError

CONFIG_NAME = "adapter_config.json"
_WEIGHTS_NAME = "adapter_model.safetensors"


def read_config(path: Path) -> dict[str, AdapterConfig]:
    """Read the configuration beside a weights file, by model. The result is empty without such a file.

    Raises:
        FormatError: The configuration is not a JSON object.
    """
    config = path.with_name(CONFIG_NAME)
    if not config.is_file():
        return {}
    try:
        return split_config(parse_config(config.read_text(encoding="utf-8")))
    except ValueError as error:
        raise FormatError(f"{config}: {error}") from error


def write(lora: LoRA) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    """Return the tensors, the header, and the content of adapter_config.json.

    Raises:
        FormatError: The LoRA has dense layers or text-encoder layers. A peft adapter belongs to one model.
    """
    text = [layer for layer in lora.layers if is_text_encoder(layer)]
    if text:
        raise FormatError(
            f"a peft adapter holds one model, and the LoRA has {len(text)} text-encoder layers, first {text[:3]}: "
            'write it with `format="diffusers"` or `format="kohya"`'
        )
    layers = low_rank_layers(lora)
    config = config_of(layers)
    tensors: dict[str, Tensor] = {}
    for path, layer in layers.items():
        down, up = stored_factors(layer)
        tensors |= {f"base_model.model.{path}.lora_A.weight": down, f"base_model.model.{path}.lora_B.weight": up}
    return tensors, {ADAPTER_METADATA_KEY: json.dumps(config, sort_keys=True)}, config


def weights_path(path: Path) -> Path:
    """Return the path of the weights file. A path to a folder creates the folder if necessary.

    Raises:
        FormatError: The folder cannot be created.
    """
    if path.suffix == ".safetensors":
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{path} cannot be created: {error.strerror or error}: choose another folder") from error
    return path / _WEIGHTS_NAME
