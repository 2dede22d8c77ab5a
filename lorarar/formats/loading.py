"""Loading: from a file to a LoRA with all its deltas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from torch import Tensor

from lorarar.formats.algorithms.layer import NeedsBase
from lorarar.formats.base_weights import BaseWeights
from lorarar.formats.dialects.cloneofsimo import LAYOUT_KEY
from lorarar.formats.dialects.table import DIALECTS
from lorarar.formats.identification import identify
from lorarar.formats.reading import StoredLoRA, read_stored
from lorarar.formats.scaling import ADAPTER_METADATA_KEY
from lorarar.formats.stored import with_kernel
from lorarar.lora import Layer, LoRA, one_thread
from lorarar.storage import FormatError, with_plugins

_EXAMPLES = 3


class LayerWeights(Protocol):
    """Weights of a base model by layer path."""

    def weight(self, path: str, /) -> Tensor:
        """Return the weight of a layer as stored, 4-D for a convolution."""


def assemble(stored: StoredLoRA, base: LayerWeights | None = None) -> LoRA:
    """Compute the deltas of a stored LoRA.

    Args:
        stored: Content of the file.
        base: Weights of the base model, for algorithms whose deltas depend on them.

    Raises:
        FormatError: The parts of a layer do not fit each other, the base is needed and missing, or the base lacks a
            layer.
    """
    weight: Callable[[str], Tensor] | None = base.weight if base else None
    layers: dict[str, Layer] = {}
    needing: list[str] = []
    for path, stored_layer in stored.layers.items():
        try:
            for part, delta in stored_layer.deltas(weight).items():
                layers[part] = with_kernel(delta, part, stored.family)
        except NeedsBase:
            needing.append(path)
        except ValueError as error:
            raise FormatError(f"{stored.path}, layer {path}: {error}") from error
    if needing:
        algorithms = sorted({stored.layers[path].algorithm for path in needing})
        raise FormatError(
            f"{stored.path}: {len(needing)} of {len(stored.layers)} layers ({', '.join(algorithms)}) need the base "
            f"model's weights, first {needing[:_EXAMPLES]}: give `base`, the model of the training"
        )
    layout = {key for key in stored.header if key in (ADAPTER_METADATA_KEY, "format") or LAYOUT_KEY.fullmatch(key)}
    metadata = {key: value for key, value in stored.header.items() if key not in layout}
    # The base determines the shapes of IA3, OFT and GLoRA, which may determine the family in turn.
    family = stored.family
    if not family and not all(stored.shapes.values()):
        shapes = {path: layer.shape for path, layer in layers.items()}
        family = identify({stored.scheme: shapes}, stored.header).family
    metadata = with_plugins(metadata, DIALECTS.plugins([stored.dialect]))
    return LoRA(layers, metadata, stored.path.name, family, stored.embeddings, stored.sha256, stored.names)


def load(path: str | Path, base: BaseWeights | str | Path | None = None) -> LoRA:
    """Read a LoRA file of any supported dialect.

    Args:
        path: A safetensors file, a folder with exactly one, or a hub id (owner/name) of such a folder.
        base: The base model, or its folder or file, for algorithms whose deltas depend on its weights (DoRA, IA3, OFT,
            GLoRA).

    Returns:
        The LoRA in the file's dtype on the CPU, with the file's name. Its metadata is the header without the entries
        that describe the dialect.

    Raises:
        FormatError: The file is missing, damaged, incomplete, inconsistent, not finite, or of no supported dialect; or
            it needs the weights of the base model and `base` is None.
        FileNotFoundError: The hub has no such LoRA, or cannot be reached.

    Examples:
        >>> load("data/embedded/loras/test_content_00.safetensors")  # doctest: +SKIP
        LoRA(embedded, 56 layers: 56 unet, rank 8, norm 7.95, 'test_content_00.safetensors')
    """
    stored = read_stored(path)
    return assemble(stored, BaseWeights(base) if isinstance(base, str | Path) else base)


def load_all(loras: Sequence[LoRA | str | Path], base: str | Path | None = None) -> list[LoRA]:
    """Return LoRAs in the order given; those that are named by a path or a hub id are read, two at a time.

    Args:
        loras: LoRAs, or paths or hub ids, see `load`.
        base: Folder or file of the base model, for files whose deltas depend on its weights.

    Raises:
        FormatError, FileNotFoundError: As `load`.
        TypeError: An entry is neither a LoRA nor a path or hub id.
    """
    for lora in loras:
        if not isinstance(lora, LoRA | str | Path):
            raise TypeError(
                f"expected LoRAs, paths or hub ids, found {type(lora).__name__}: give LoRAs one by one or in a list"
            )
    weights = BaseWeights(base) if base else None
    with one_thread(), ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda lora: lora if isinstance(lora, LoRA) else load(lora, weights), loras))
