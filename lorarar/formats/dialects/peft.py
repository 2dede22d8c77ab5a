"""peft dialect: `base_model.model.X.lora_A.weight`, with alpha in `adapter_config.json` beside the weights.

The diffusers dialect reads the keys because both have the same names. A written file also carries the configuration in
its header, so that its scales are known without `adapter_config.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lorarar.formats.dialects.diffusers import low_rank_layers, stored_factors
from lorarar.formats.embeddings import embeddings_file
from lorarar.formats.naming.keys import Key
from lorarar.formats.patterns import whole_path_matches
from lorarar.formats.scaling import (
    ADAPTER_METADATA_KEY,
    AdapterConfig,
    config_for,
    config_of,
    flag,
    parse_config,
    scaling_from_config,
    split_config,
)
from lorarar.formats.stored import StoredLayer
from lorarar.lora import LoRA, is_text_encoder
from lorarar.storage import FormatError, check_target

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
# Files in an adapter's folder: ours, and the model card that peft writes.
_OWN = {CONFIG_NAME, WEIGHTS_NAME, embeddings_file(Path(WEIGHTS_NAME)).name, "README.md"}
_ALGORITHMS = {"LORA": ("lora", "dora"), "LOHA": ("loha",), "LOKR": ("lokr",)}


def is_adapter(path: Path, keys: Iterable[Key]) -> bool:
    """Return whether a file is an adapter that peft wrote, by its name or by the names of all its layers."""
    return path.name == WEIGHTS_NAME or all(key.dialect == "peft" for key in keys)


def read_adapter_config(path: Path) -> dict[str, AdapterConfig]:
    """Read the configuration beside an adapter's weights, by model. The result is empty without such a file.

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


def misfit(configs: Mapping[str, AdapterConfig], layers: Mapping[str, StoredLayer]) -> str:
    """Return why a configuration beside a file is not the file's own, "" if nothing speaks against it.

    Args:
        configs: The configuration, by model.
        layers: Path -> stored layer.

    Raises:
        ValueError: The configuration is damaged.
    """
    for path, layer in layers.items():
        config, inner = config_for(configs, path)
        if config is None:
            return f"it has no entry for {path}"
        algorithms = _ALGORITHMS.get(str(config.get("peft_type", "")).upper(), ())
        if algorithms and layer.algorithm not in algorithms:
            return f"its type is {config['peft_type']}, {path} is {layer.algorithm}"
        if flag(config, "use_dora") and layer.algorithm != "dora":
            return f"it is for DoRA, {path} is {layer.algorithm}"
        rank = scaling_from_config(config, inner).rank
        if rank and layer.rank and rank != layer.rank:
            return f"its rank for {path} is {rank}, the file's is {layer.rank}"
        if not _is_target(config.get("target_modules"), inner):
            return f"{path} is not one of its targets"
    return ""


def _is_target(targets: object, path: str) -> bool:
    """Return whether a configuration has a layer among its targets; without targets, every layer is one."""
    if isinstance(targets, str):
        return targets == "all-linear" or whole_path_matches(targets, path)
    if not isinstance(targets, list):
        return True
    return any(path == str(target) or path.endswith(f".{target}") for target in targets)


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


def weights_path(folder: Path) -> Path:
    """Return the path of the weights in an adapter's folder."""
    return folder / WEIGHTS_NAME


def check_folder(folder: Path, force: bool) -> None:
    """Check that a folder can be that of one adapter alone, whose configuration is then taken for no other file.

    Args:
        folder: The folder to write; it may not exist.
        force: Whether an adapter in it may be replaced.

    Raises:
        FormatError: The name is that of a file, or the folder holds an adapter and force is False, or other files.
    """
    if folder.suffix == ".safetensors":
        raise FormatError(
            f"expected a folder of its own for a peft adapter, found {folder}: give a name without .safetensors, such "
            f"as {folder.with_suffix('')}"
        )
    if not folder.is_dir():
        return
    others = sorted(path.name for path in folder.iterdir() if path.name not in _OWN)
    if others:
        raise FormatError(
            f"expected a folder of its own for a peft adapter, found {folder} with other files, first {others[:3]}: "
            "give a new folder"
        )
    for name in sorted(_OWN - {"README.md"}):
        if (folder / name).exists():
            check_target(folder / name, force)


def make_folder(folder: Path) -> None:
    """Create the folder of an adapter if necessary.

    Raises:
        FormatError: The folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{folder} cannot be created: {error.strerror or error}: choose another folder") from error
