"""Constant merger: one learned number for each LoRA and group of layers, the ablation that the hypernetwork must beat.

On the small columns of real LoRAs the released LoRA.rar network is close to a constant for each width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lorarar.lora import LoRA, check_same_shapes, projection
from lorarar.merging import Coefficients

Group = Literal["width", "layer"]


@dataclass(frozen=True)
class ConstantConfig:
    """What is needed to build the merger.

    Args:
        groups: The out widths ("640", "1280") or the layer paths that have numbers of their own.
        group: Whether `groups` are widths or layers.
        n_loras: How many LoRAs are merged.
        initial: Value of every learned coefficient before training.
        predicted: Projections that the learned numbers apply to, as in the LoRA.rar network.
        fixed: Coefficient of all other layers, for every LoRA.
    """

    groups: tuple[str, ...]
    group: Group = "width"
    n_loras: int = 2
    initial: float = 1.0
    predicted: tuple[str, ...] = ("to_q", "to_out")
    fixed: float = 1.0


class ConstantMerger(nn.Module):
    """m_i[j] = values[group of the layer, i], for every column j.

    Args:
        config: Groups and initial value.

    Raises:
        ValueError: There are no groups or they repeat, `group` is unknown, or there are no LoRAs.
    """

    def __init__(self, config: ConstantConfig) -> None:
        super().__init__()
        if not config.groups or len(set(config.groups)) < len(config.groups) or config.n_loras < 1:
            raise ValueError(f"expected one or more distinct groups and at least one LoRA, found {config}")
        if config.group not in ("width", "layer"):
            raise ValueError(f'expected group "width" or "layer", found {config.group!r}')
        self.config = config
        self.values = nn.Parameter(torch.full((len(config.groups), config.n_loras), config.initial))

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """The coefficients of these LoRAs.

        Args:
            loras: As many LoRAs as the configuration says, in the order of training.

        Returns:
            One vector (in,) for each LoRA in each layer of any of them.

        Raises:
            ValueError: The number of LoRAs is another, their shapes clash, or a layer's group is not known.
        """
        if len(loras) != self.config.n_loras:
            raise ValueError(f"the merger was made for {self.config.n_loras} LoRAs, found {len(loras)}")
        check_same_shapes(loras)
        shapes = {layer: f.shape for lora in loras for layer, f in lora.layers.items()}
        rows = self._rows(shapes)
        fixed = self.values.new_full((self.config.n_loras,), self.config.fixed)
        return Coefficients(
            {la: _spread(self.values[rows[la]] if la in rows else fixed, width) for la, (_, width) in shapes.items()}
        )

    def _rows(self, shapes: Mapping[str, tuple[int, int]]) -> dict[str, int]:
        """Learned layer -> its row in `values`."""
        index = {group: row for row, group in enumerate(self.config.groups)}
        learned = [layer for layer in shapes if projection(layer) in self.config.predicted]
        names = {la: str(shapes[la][0]) if self.config.group == "width" else la for la in learned}
        unknown = sorted(set(names.values()) - set(index))
        if unknown:
            raise ValueError(
                f"the merger knows {len(index)} {self.config.group} groups, first {list(index)[:3]}, and the LoRAs "
                f"have {len(unknown)} others, first {unknown[:3]}: use a merger that was trained for their base model"
            )
        return {layer: index[name] for layer, name in names.items()}


def groups_of(lora: LoRA, group: Group, predicted: Sequence[str] = ("to_q", "to_out")) -> tuple[str, ...]:
    """The groups that a LoRA of the base model needs: its out widths or layers, among the predicted projections."""
    layers = [layer for layer in lora.layers if projection(layer) in predicted]
    if group == "layer":
        return tuple(layers)
    return tuple(str(width) for width in sorted({lora.layers[layer].shape[0] for layer in layers}))


def _spread(numbers: Tensor, width: int) -> tuple[Tensor, ...]:
    """(n,) -> n vectors (in,): the similarity term counts columns."""
    return tuple(number.expand(width) for number in numbers)
