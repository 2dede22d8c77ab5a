"""LoRA files. The dialect is told by keys, shapes and metadata, never by the file's name."""

from __future__ import annotations

from pathlib import Path

from lorarar.formats.base_weights import BaseWeights
from lorarar.formats.files import sha256
from lorarar.formats.loading import assemble
from lorarar.formats.reading import Contents, read, weights_file
from lorarar.formats.writing import Format, default_format, save
from lorarar.lora import LoRA

__all__ = [
    "Contents",
    "Format",
    "assemble",
    "default_format",
    "load",
    "read",
    "save",
    "sha256",
    "weights_file",
]


def load(path: str | Path, base: BaseWeights | str | Path | None = None) -> LoRA:
    """Reads a LoRA file of any known dialect.

    Args:
        path: A safetensors file, or a folder that holds exactly one.
        base: The base model, or its folder or file, for algorithms whose deltas depend on its weights (DoRA, IA3, OFT,
            GLoRA).

    Returns:
        The LoRA in the file's own dtype on the CPU, named after the file; its metadata is the header's, less what
        describes the layout.

    Raises:
        FormatError: The file is missing, damaged, of no known dialect, incomplete, inconsistent or not finite, or it
            needs the base's weights and none are given.
    """
    contents = read(path)
    return assemble(contents, BaseWeights(base) if isinstance(base, str | Path) else base)
