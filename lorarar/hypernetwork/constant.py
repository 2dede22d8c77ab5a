"""Constant merger: learned numbers that do not look at the LoRAs.

One for each LoRA and group of layers is the ablation that the hypernetwork must beat: on the small columns of real
LoRAs the released LoRA.rar network is close to a constant for each width. Fitted to a single pair, one number a layer
is CAT and one a column is ZipLoRA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lorarar.lora import Coefficients, LoRA, check_same_shapes, projection

Group = Literal["width", "projection", "layer", "column"]


@dataclass(frozen=True)
class ConstantConfig:
    """What is needed to build the merger.

    Args:
        groups: The out widths ("640", "1280"), projections ("to_q") or layer paths that have numbers of their own.
        group: Which of these `groups` are; "column" is a layer with a number for each column of its delta.
        n_loras: How many LoRAs are merged.
        initial: Value of every learned coefficient before training.
        predicted: Projections that the learned numbers apply to, as in the LoRA.rar network.
        fixed: Coefficient of all other layers, for every LoRA.
        columns: For "column", how many columns the layer of each group has; else empty.
    """

    groups: tuple[str, ...]
    group: Group = "width"
    n_loras: int = 2
    initial: float = 1.0
    predicted: tuple[str, ...] = ("to_q", "to_out")
    fixed: float = 1.0
    columns: tuple[int, ...] = ()


class ConstantMerger(nn.Module):
    """m_i[j] = values[group of the layer, i], for every column j; by "column", values[group of the layer + j, i].

    Args:
        config: Groups and initial value.

    Raises:
        ValueError: There are no groups or they repeat, `group` is unknown, `columns` does not fit it, or there are no
            LoRAs.
    """

    def __init__(self, config: ConstantConfig) -> None:
        super().__init__()
        if not config.groups or len(set(config.groups)) < len(config.groups) or config.n_loras < 1:
            raise ValueError(f"expected one or more distinct groups and at least one LoRA, found {config}")
        if config.group not in get_args(Group):
            raise ValueError(f"expected a group among {', '.join(get_args(Group))}, found {config.group!r}")
        if len(config.columns) != (len(config.groups) if config.group == "column" else 0):
            raise ValueError(f'expected a number of columns for each group of "column" and no other, found {config}')
        self.config = config
        self.rows = list(config.columns) or [1] * len(config.groups)
        self.values = nn.Parameter(torch.full((sum(self.rows), config.n_loras), config.initial))

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
        numbers = dict(zip(self.config.groups, torch.split(self.values, self.rows), strict=True))
        vectors = {la: _spread(la, numbers[group], shapes[la][1]) for la, group in self._groups(loras).items()}
        fixed = tuple(self.values.new_full((self.config.n_loras,), self.config.fixed))
        return Coefficients({la: vectors.get(la, fixed) for lora in loras for la in lora.layers})

    @torch.no_grad()
    def start_from(self, coefficients: Coefficients) -> None:
        """Takes over another merger's coefficients, for the groups "layer" (the mean of the columns) and "column".

        Raises:
            ValueError: The numbers belong to groups of several layers, or a layer is not among the coefficients.
        """
        missing = [layer for layer in self.config.groups if layer not in coefficients.layers]
        if missing or self.config.group not in ("layer", "column"):
            raise ValueError(
                f'expected coefficients for each layer, and numbers by "layer" or "column", found none for '
                f"{missing[:3]} and numbers by {self.config.group!r}: start from a merger for the same base model"
            )
        rows = []
        for layer, count in zip(self.config.groups, self.rows, strict=True):
            vectors = [m.float().reshape(-1) for m in coefficients.layers[layer]]
            rows.append(torch.stack([v.mean().expand(1) if count == 1 else v.expand(count) for v in vectors], dim=1))
        self.values.copy_(torch.cat(rows))

    def _groups(self, loras: Sequence[LoRA]) -> dict[str, str]:
        """Learned layer -> its group."""
        shapes = linear_shapes(loras)
        names = {la: _group(la, shapes[la], self.config.group) for la in self.predicted(loras)}
        unknown = sorted(set(names.values()) - set(self.config.groups))
        if unknown:
            raise ValueError(
                f"the merger knows {len(self.config.groups)} {self.config.group} groups, first "
                f"{list(self.config.groups[:3])}, and the LoRAs have {len(unknown)} others, first {unknown[:3]}: use a "
                "merger that was trained for their base model"
            )
        return names


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


def sized(config: ConstantConfig, loras: Sequence[LoRA]) -> ConstantConfig:
    """The configuration with the groups, and the columns of each, that these LoRAs need."""
    shapes = linear_shapes(loras)
    union = LoRA({layer: delta for lora in loras for layer, delta in lora.layers.items()})
    groups = groups_of(union, config.group, config.predicted)
    columns = tuple(shapes[layer][1] for layer in groups) if config.group == "column" else ()
    return replace(config, groups=groups, columns=columns)


def linear_shapes(loras: Sequence[LoRA]) -> dict[str, tuple[int, int]]:
    """(out, in) of the linear modules' weights that any of the LoRAs holds."""
    deltas = {layer: delta for lora in loras for layer, delta in lora.layers.items()}
    return {la: (d.shape[0], d.shape[1]) for la, d in deltas.items() if len(d.shape) == 2 and not d.kernel}


def _group(layer: str, shape: tuple[int, int], group: Group) -> str:
    return {"width": str(shape[0]), "projection": projection(layer)}.get(group, layer)


def _spread(layer: str, numbers: Tensor, width: int) -> tuple[Tensor, ...]:
    """(1, n) or (in, n) -> n vectors (in,): the similarity term counts columns."""
    if len(numbers) not in (1, width):
        raise ValueError(
            f"{layer} has {width} columns, the merger {len(numbers)}: use a merger that was made for their base model"
        )
    return numbers.expand(width, -1).unbind(1)
