"""From what a file holds to its deltas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from lorarar.formats.algorithms.layer import NeedsBase
from lorarar.formats.base_weights import BaseWeights
from lorarar.formats.dialects.cloneofsimo import LAYOUT_KEY
from lorarar.formats.reading import StoredLoRA, read_stored
from lorarar.formats.scaling import ADAPTER_METADATA_KEY
from lorarar.formats.stored import with_kernel
from lorarar.lora import Layer, LoRA
from lorarar.lora.families import detect_family
from lorarar.storage import FormatError

_SHOWN = 3


class LayerWeights(Protocol):
    """A base model's weights by the paths of a LoRA's layers."""

    def weight(self, path: str, /) -> Tensor:
        """The layer's weight as stored, 4-D for a convolution."""


def assemble(contents: StoredLoRA, base: LayerWeights | None = None) -> LoRA:
    """Computes the deltas of a file that was read.

    Args:
        contents: What the file holds.
        base: The base model's weights, for algorithms whose deltas depend on them.

    Raises:
        FormatError: A layer's parts do not fit each other, or the base is needed and not given, or lacks a layer.
    """
    weight: Callable[[str], Tensor] | None = base.weight if base else None
    layers: dict[str, Layer] = {}
    needing: list[str] = []
    for path, stored in contents.layers.items():
        try:
            layers |= {p: with_kernel(layer, p, contents.family) for p, layer in stored.deltas(weight).items()}
        except NeedsBase:
            needing.append(path)
        except ValueError as error:
            raise FormatError(f"{contents.path}, layer {path}: {error}") from error
    if needing:
        kinds = sorted({contents.layers[path].algorithm for path in needing})
        raise FormatError(
            f"{contents.path}: {len(needing)} of {len(contents.layers)} layers ({', '.join(kinds)}) need the base "
            f"model's weights, first {needing[:_SHOWN]}: give --base MODEL (base=...), the model it was trained on"
        )
    layout = {key for key in contents.header if key in (ADAPTER_METADATA_KEY, "format") or LAYOUT_KEY.fullmatch(key)}
    metadata = {key: value for key, value in contents.header.items() if key not in layout}
    # Shapes that only the base tells (IA3, OFT, GLoRA) may tell the family in turn.
    family = contents.family or detect_family(layers, contents.header)
    return LoRA(layers, metadata, contents.path.name, family, contents.embeddings, contents.sha256)


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
    contents = read_stored(path)
    return assemble(contents, BaseWeights(base) if isinstance(base, str | Path) else base)
