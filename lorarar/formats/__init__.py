"""LoRA files. The dialect is told by the keys, never by the file's name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from lorarar.formats import diffusers, peft
from lorarar.formats.files import (
    FormatError,
    atomic_write,
    lorarar_version,
    read_tensors,
    sha256,
    write_tensors,
)
from lorarar.formats.pairing import Entry, Parse, pair
from lorarar.formats.scaling import HEADER_KEY, Config, configs_from_header
from lorarar.lora import LoRA
from lorarar.lowrank import LowRank

__all__ = ["FormatError", "atomic_write", "load", "save", "sha256", "weights_file"]

# The order matters where a key fits several: the first that knows every key reads the file.
DIALECTS: Mapping[str, Parse] = {"diffusers": diffusers.parse, "peft": peft.parse}


def load(path: str | Path) -> LoRA:
    """Reads a LoRA file of any known dialect.

    Args:
        path: A safetensors file, or a folder that holds exactly one.

    Returns:
        The LoRA in the file's own dtype on the CPU, named after the file; its metadata is the header's, less what
        describes the layout.

    Raises:
        FormatError: The file is missing, damaged, of no known dialect, incomplete, inconsistent or not finite.
    """
    path = weights_file(Path(path))
    tensors, header = read_tensors(path)
    entries = _entries(path, list(tensors))
    layers = pair(path, tensors, entries, _configs(path, header))
    metadata = {key: value for key, value in header.items() if key not in (HEADER_KEY, "format")}
    return LoRA(layers, metadata, name=path.name)


def save(
    lora: LoRA,
    path: str | Path,
    *,
    format: Literal["diffusers", "peft"] = "diffusers",
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> None:
    """Writes a LoRA file atomically.

    Args:
        lora: What to write.
        path: The file. With "peft" a path without the ending .safetensors is a folder, made if need be, that gets
            adapter_model.safetensors; adapter_config.json is written beside the weights either way.
        format: The dialect.
        dtype: Of the weights in the file; float16 is what other tools write; float32 doubles the size and loses
            nothing.
        metadata: How the LoRA was made, added to what it carries already.
        force: Whether existing files may be replaced.

    Raises:
        FormatError: A file exists and force is False, the folder cannot be written, there are no layers, or a weight is
            not finite in that dtype.
    """
    path, lora = Path(path), _without_zero_scales(lora)
    sidecar: dict[str, object] | None = None
    if format == "peft":
        path = _peft_file(path)
        tensors, header, sidecar = peft.write(lora)
    elif format == "diffusers":
        tensors, header = diffusers.write(lora)
    else:
        raise FormatError(f'expected format "diffusers" or "peft", found {format!r}')
    if not tensors:
        raise FormatError(f"{path} was not written: the LoRA has no layers")
    header = {**lora.metadata, **(metadata or {}), **header, "lorarar_version": lorarar_version(), "format": "pt"}
    if sidecar is None:
        write_tensors(path, tensors, header, dtype=dtype, force=force)
    else:
        with atomic_write(path.with_name(peft.CONFIG_NAME), force=force) as temporary:
            temporary.write_text(json.dumps(sidecar, indent=2, sort_keys=True), encoding="utf-8")
            write_tensors(path, tensors, header, dtype=dtype, force=force)


def _entries(path: Path, keys: Sequence[str]) -> list[Entry]:
    """What each key means, by the first dialect that knows them all."""
    unknown: list[str] = list(keys)
    for parse in DIALECTS.values():
        parsed = {key: parse(key) for key in keys}
        entries = [Entry(key, *found) for key, found in parsed.items() if found is not None]
        if len(entries) == len(keys):
            return entries
        unknown = min(unknown, [key for key, found in parsed.items() if found is None], key=len)
    raise FormatError(
        f"{path}: {len(unknown)} of {len(keys)} keys are of no known LoRA layout ({', '.join(DIALECTS)}), first "
        f"{unknown[:3]}: save the LoRA with diffusers or peft, without convolution, DoRA or LyCORIS parts"
    )


def _configs(path: Path, header: Mapping[str, str]) -> dict[str, Config]:
    """peft configurations from the header, which travels with the weights, else from beside the file."""
    try:
        return configs_from_header(header) or peft.read_config(path)
    except ValueError as error:
        raise error if isinstance(error, FormatError) else FormatError(f"{path}: {error}") from error


def weights_file(path: Path) -> Path:
    """The file itself, or the only safetensors file in a folder.

    Raises:
        FormatError: The folder holds none, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        names = [file.name for file in found]
        raise FormatError(f"{path} is a folder with {len(found)} safetensors files {names[:3]}: give the file itself")
    return found[0]


def _peft_file(path: Path) -> Path:
    if path.suffix == ".safetensors":
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{path} cannot be made: {error.strerror or error}: choose another folder") from error
    return path / "adapter_model.safetensors"


def _without_zero_scales(lora: LoRA) -> LoRA:
    """Zero factors in place of a zero scale: in a file, alpha = 0 means alpha = rank."""
    layers = {
        layer: f if f.scale else LowRank(torch.zeros_like(f.B), torch.zeros_like(f.A))
        for layer, f in lora.layers.items()
    }
    return replace(lora, layers=layers)
