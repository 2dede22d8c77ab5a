"""Constant merger: one learned number for each LoRA and group of layers, the ablation that the hypernetwork must beat.

On the small columns of real LoRAs the released LoRA.rar network is close to a constant for each width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lorarar.lora import LoRA, check_same_shapes, projection
from lorarar.merging import Coefficients

Group = Literal["width", "projection", "layer"]


@dataclass(frozen=True)
class ConstantConfig:
    """What is needed to build the merger.

    Args:
        groups: The out widths ("640", "1280"), projections ("to_q") or layer paths that have numbers of their own.
        group: Which of these `groups` are.
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
        if config.group not in get_args(Group):
            raise ValueError(f"expected a group among {', '.join(get_args(Group))}, found {config.group!r}")
        self.config = config
        self.values = nn.Parameter(torch.full((len(config.groups), config.n_loras), config.initial))

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """The layers that learned numbers apply to: linear ones of the right projections, of any of the LoRAs."""
        shapes = linear_shapes(loras)
        return [layer for layer in shapes if projection(layer) in self.config.predicted]

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """The coefficients of these LoRAs.

        Args:
            loras: As many LoRAs as the configuration says, in the order of training.

        Returns:
            For each layer of any LoRA one vector (in,) for each LoRA, or one number () where the coefficient is fixed.

        Raises:
            ValueError: The number of LoRAs is another, their shapes clash, or a layer's group is not known.
        """
        if len(loras) != self.config.n_loras:
            raise ValueError(f"the merger was made for {self.config.n_loras} LoRAs, found {len(loras)}")
        check_same_shapes(loras)
        shapes = linear_shapes(loras)
        vectors = {la: _spread(self.values[row], shapes[la][1]) for la, row in self._rows(loras).items()}
        fixed = tuple(self.values.new_full((self.config.n_loras,), self.config.fixed))
        return Coefficients({la: vectors.get(la, fixed) for lora in loras for la in lora.layers})

    def _rows(self, loras: Sequence[LoRA]) -> dict[str, int]:
        """Learned layer -> its row in `values`."""
        index = {group: row for row, group in enumerate(self.config.groups)}
        shapes = linear_shapes(loras)
        names = {la: _group(la, shapes[la], self.config.group) for la in self.predicted(loras)}
        unknown = sorted(set(names.values()) - set(index))
        if unknown:
            raise ValueError(
                f"the merger knows {len(index)} {self.config.group} groups, first {list(index)[:3]}, and the LoRAs "
                f"have {len(unknown)} others, first {unknown[:3]}: use a merger that was trained for their base model"
            )
        return {layer: index[name] for layer, name in names.items()}


def constant_of(numbers: Mapping[str, Sequence[float]], group: Group = "width", fixed: float = 1.0) -> ConstantMerger:
    """A merger of given numbers, which needs no training.

    Args:
        numbers: Out width, projection or layer path -> one coefficient for each LoRA.
        group: What the keys are. Numbers by projection apply to those projections, all others to to_q and to_out.
        fixed: Coefficient of all other layers, for every LoRA.

    Raises:
        ValueError: There are no numbers, or not equally many in each group.
    """
    rows = [list(row) for row in numbers.values()]
    if not rows or len({len(row) for row in rows}) > 1:
        raise ValueError(f"expected as many numbers as LoRAs for each {group}, found {dict(numbers)}")
    predicted = {"projection": tuple(numbers), "layer": tuple(dict.fromkeys(map(projection, numbers)))}
    chosen = predicted.get(group, ConstantConfig.predicted)
    config = ConstantConfig(tuple(numbers), group, len(rows[0]), predicted=chosen, fixed=fixed)
    merger = ConstantMerger(config).requires_grad_(False)
    merger.values.copy_(torch.tensor(rows))
    return merger.eval()


def groups_of(lora: LoRA, group: Group, predicted: Sequence[str] = ("to_q", "to_out")) -> tuple[str, ...]:
    """The groups that a LoRA of the base model needs: its widths, projections or layers, of the given projections."""
    shapes = {la: shape for la, shape in linear_shapes([lora]).items() if projection(la) in predicted}
    if group == "width":
        return tuple(str(width) for width in sorted({out for out, _ in shapes.values()}))
    return tuple(dict.fromkeys(_group(layer, shape, group) for layer, shape in shapes.items()))


def linear_shapes(loras: Sequence[LoRA]) -> dict[str, tuple[int, int]]:
    """(out, in) of the linear modules' weights that any of the LoRAs holds."""
    deltas = {layer: delta for lora in loras for layer, delta in lora.layers.items()}
    return {la: (d.shape[0], d.shape[1]) for la, d in deltas.items() if len(d.shape) == 2 and not d.kernel}


def _group(layer: str, shape: tuple[int, int], group: Group) -> str:
    return {"width": str(shape[0]), "projection": projection(layer), "layer": layer}[group]


def _spread(numbers: Tensor, width: int) -> tuple[Tensor, ...]:
    """(n,) -> n vectors (in,): the similarity term counts columns."""
    return tuple(number.expand(width) for number in numbers)
