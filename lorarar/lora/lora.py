"""LoRA: a mapping from layer path to delta, independent of the file format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank, norm
from lorarar.lora.rows import Rows

Layer = LowRank | Dense
TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class LoRA:
    """Set of deltas for one base model.

    Attributes:
        layers: Dotted module path -> delta. Paths of the denoiser have no prefix
            ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"). Paths of a text encoder start with
            "text_encoder." or "text_encoder_2.". The weight of a norm has the path of its module. A bias has its own
            entry, whose path is the module's path and ".bias".
        metadata: Metadata of the file's header, without the entries that `layers` replaces (alpha, rank).
        name: Name in messages, usually the name of the file.
        family: Family of the base model, a key of `lorarar.lora.families.FAMILIES`; "" if it is unknown.
        embeddings: Learned tokens from the LoRA file: key in the file -> tensor.
        sha256: SHA-256 of the LoRA file; "" for a LoRA that was made in memory.
        names: Name of each layer in the file, without the part of the tensor -> the layers in its rows; empty for a
            LoRA that was made in memory.
    """

    layers: Mapping[str, Layer]
    metadata: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    family: str = ""
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    sha256: str = ""
    names: Mapping[str, Rows] = field(default_factory=dict)

    def __repr__(self) -> str:
        from lorarar.lora.display import describe_lora  # here, since it is seldom needed and imports this module

        return describe_lora(self)

    def _repr_html_(self) -> str:
        from lorarar.lora.display import lora_html

        return lora_html(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LoRA:
        """Return the same LoRA with all factors on another device or in another dtype."""
        return replace(self, layers={layer: delta.to(device, dtype) for layer, delta in self.layers.items()})

    def widths(self) -> dict[tuple[int, ...], int]:
        """Return the number of layers of each shape (out, in), smallest shape first."""
        return dict(sorted(Counter(delta.shape for delta in self.layers.values()).items()))


def projection(layer: str) -> str:
    """Return the role of a layer in its block: its last name that is not a number ("to_q", "to_k", "to_v", "to_out").

    >>> projection("mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0")
    'to_out'
    """
    return next((part for part in reversed(layer.split(".")) if not part.isdigit()), layer)


def block(layer: str) -> str:
    """Return the block of a layer: "down_blocks.1", "mid_block", "transformer_blocks.7", "text_encoder".

    >>> block("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q")
    'down_blocks.1'
    """
    first, _, rest = layer.partition(".")
    number = rest.partition(".")[0]
    return f"{first}.{number}" if number.isdigit() else first


def is_text_encoder(layer: str) -> bool:
    """Return whether the layer belongs to a text encoder rather than to the denoiser."""
    return layer.partition(".")[0] in TEXT_ENCODERS


def label(lora: LoRA, index: int) -> str:
    """Return the name of a LoRA in messages: its own name, or "LoRA" and its number in the list, counted from 1."""
    return lora.name or f"LoRA {index + 1}"


def check_same_shapes(loras: Sequence[LoRA]) -> None:
    """Check that each layer has the same shape in every LoRA that contains it.

    Raises:
        ValueError: A shape differs. The message lists the first layers that differ, with their shapes.
    """
    first: dict[str, tuple[int, tuple[int, ...]]] = {}  # layer -> the first LoRA that contains it, the shape there
    for index, lora in enumerate(loras):
        clashes = [layer for layer, delta in lora.layers.items() if layer in first and first[layer][1] != delta.shape]
        if clashes:
            other = first[clashes[0]][0]
            examples = [f"{layer}: {first[layer][1]} and {lora.layers[layer].shape}" for layer in clashes[:_EXAMPLES]]
            raise ValueError(
                f"{label(loras[other], other)} and {label(lora, index)} were made for different base models: "
                f"{len(clashes)} layers differ in shape (out, in), first {examples}: train both on the same base model"
            )
        for layer, delta in lora.layers.items():
            first.setdefault(layer, (index, delta.shape))


def delta_norm(delta: Layer) -> float:
    """Return the Frobenius norm of a delta; that of a low-rank one without forming it."""
    return float(norm(delta) if isinstance(delta, LowRank) else delta.delta().norm())


def lora_norm(lora: LoRA) -> float:
    """Return the Frobenius norm of all deltas of a LoRA together, norms and biases included."""
    return math.hypot(*map(delta_norm, lora.layers.values()))
