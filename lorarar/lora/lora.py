"""A LoRA in memory: layer path -> delta, whatever file it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lorarar.lora.dense import Dense
from lorarar.lora.lowrank import LowRank

Layer = LowRank | Dense
TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class LoRA:
    """A set of deltas for one base model.

    Args:
        layers: Dotted module path -> delta. Paths of the denoiser bear no prefix
            ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"); paths of a text encoder start with
            "text_encoder." or "text_encoder_2.". A norm's weight bears the module's path; a bias has an entry of its
            own, the module's path and ".bias".
        metadata: What the file's header said, less what `layers` already holds (alpha, rank).
        name: What messages call it, usually the file's name.
        family: The base model's family, a key of `lorarar.lora.families.FAMILIES`; "" where it is not known.
        embeddings: Learned tokens that came with the LoRA: key in the file -> tensor.
        sha256: Of the file that it was read from; "" when it was made in memory.
    """

    layers: Mapping[str, Layer]
    metadata: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    family: str = ""
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    sha256: str = ""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LoRA:
        """The same LoRA with all factors on another device or in another dtype."""
        return replace(self, layers={layer: f.to(device, dtype) for layer, f in self.layers.items()})

    def widths(self) -> dict[tuple[int, ...], int]:
        """How many layers there are of each shape (out, in), smallest shape first."""
        return dict(sorted(Counter(f.shape for f in self.layers.values()).items()))


def projection(layer: str) -> str:
    """The layer's role in its block: "to_q", "to_k", "to_v", "to_out"; elsewhere its last name that is no number.

    >>> projection("mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0")
    'to_out'
    """
    return next((part for part in reversed(layer.split(".")) if not part.isdigit()), layer)


def block(layer: str) -> str:
    """The part of the model that holds the layer: "down_blocks.1", "mid_block", "transformer_blocks.7", "text_encoder".

    >>> block("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q")
    'down_blocks.1'
    """
    first, _, rest = layer.partition(".")
    number = rest.partition(".")[0]
    return f"{first}.{number}" if number.isdigit() else first


def is_text_encoder(layer: str) -> bool:
    """Whether the layer lies in a text encoder, not in the denoiser."""
    return layer.partition(".")[0] in TEXT_ENCODERS


def label(lora: LoRA, index: int) -> str:
    """What a message calls the LoRA: its name, or its number in the list (from 1) when it has none."""
    return lora.name or f"LoRA {index + 1}"


def check_same_layers(loras: Sequence[LoRA]) -> None:
    """Checks that all LoRAs hold the same layers, of the same shapes.

    Raises:
        ValueError: They do not: with each LoRA's name and count, the first few layers that differ, and what to do.
    """
    if len(loras) < 2:
        return
    first = loras[0]
    for index, other in enumerate(loras[1:], start=1):
        missing = sorted(set(first.layers) ^ set(other.layers))
        if missing:
            raise ValueError(
                f"the LoRAs hold different layers: {label(first, 0)} has {len(first.layers)}, {label(other, index)} "
                f"has {len(other.layers)}, {len(missing)} are in one only, first {missing[:_SHOWN]}: "
                f"train both on the same base with the same target modules"
            )
    check_same_shapes(loras)


def check_same_shapes(loras: Sequence[LoRA]) -> None:
    """Checks that a layer has the same shape in every LoRA that holds it.

    Raises:
        ValueError: It does not: with the names, the first few layers that differ and their shapes.
    """
    seen: dict[str, tuple[int, tuple[int, ...]]] = {}
    for index, lora in enumerate(loras):
        clashes = [la for la, f in lora.layers.items() if la in seen and seen[la][1] != f.shape]
        if clashes:
            other = seen[clashes[0]][0]
            shown = [f"{la}: {seen[la][1]} and {lora.layers[la].shape}" for la in clashes[:_SHOWN]]
            raise ValueError(
                f"{label(loras[other], other)} and {label(lora, index)} were made for different bases: {len(clashes)} "
                f"layers differ in shape (out, in), first {shown}: train both on the same base"
            )
        for layer, factors in lora.layers.items():
            seen.setdefault(layer, (index, factors.shape))
