"""Constant merger: learned coefficients that do not depend on the LoRAs.

One coefficient for each LoRA and group of layers is the ablation that the hypernetwork must beat: on the small columns
of real LoRAs the released LoRA.rar network is close to a constant for each width. Optimised for a single pair, one
coefficient for each layer is CAT, one for each column is ZipLoRA, and one for each direction of the rank is ZipRank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lorarar.lora import Coefficients, LoRA, LowRank, check_same_shapes, projection

Group = Literal["width", "projection", "layer", "column", "rank"]


@dataclass(frozen=True)
class ConstantConfig:
    """Configuration of the merger.

    Attributes:
        groups: Out widths ("640", "1280"), projections ("to_q") or layer paths, each with coefficients of its own.
        group: What `groups` are; "column" is a layer with a coefficient for each column of its delta, "rank" one with a
            coefficient for each direction of the rank.
        n_loras: Number of LoRAs.
        initial: Value of every learned coefficient before training.
        predicted: Projections that the learned coefficients apply to, as in the LoRA.rar network.
        fixed: Coefficient of all other layers, for every LoRA.
        columns: For "column", the number of columns of each group's layer, for "rank" the largest rank; else empty.
    """

    groups: tuple[str, ...] = ()
    group: Group = "width"
    n_loras: int = 2
    initial: float = 1.0
    predicted: tuple[str, ...] = ("to_q", "to_out")
    fixed: float = 1.0
    columns: tuple[int, ...] = ()


class ConstantMerger(nn.Module):
    """Merger with the coefficients m_i[j] = values[row of the layer's group, i] for every column j of a layer.

    By "column" a group has a row for each column, by "rank" for each direction: m_i[j] = values[first row of the
    layer's group + j, i].

    Args:
        config: Groups and initial value.

    Raises:
        ValueError: Groups are missing or repeat, `group` is unknown, `columns` does not fit it, or the number of LoRAs
            is less than 1.
    """

    def __init__(self, config: ConstantConfig) -> None:
        super().__init__()
        if not config.groups or len(set(config.groups)) < len(config.groups) or config.n_loras < 1:
            raise ValueError(f"expected one or more distinct groups and at least one LoRA, found {config}")
        if config.group not in get_args(Group):
            raise ValueError(f"expected a group among {', '.join(get_args(Group))}, found {config.group!r}")
        if len(config.columns) != (len(config.groups) if config.group in ("column", "rank") else 0):
            raise ValueError(
                f'expected a number of columns for each group of "column" or "rank" and no other, found {config}'
            )
        self.config = config
        self.rows = list(config.columns) or [1] * len(config.groups)
        self.values = nn.Parameter(torch.full((sum(self.rows), config.n_loras), config.initial))

    def predicted(self, loras: Sequence[LoRA]) -> list[str]:
        """Return the layers that learned coefficients apply to: linear ones of its projections, of any of the LoRAs.

        By "rank" these are the layers without a dense delta.
        """
        shapes = linear_shapes(loras)
        if self.config.group == "rank":
            shapes = {layer: shape for layer, shape in shapes.items() if _rank(loras, layer)}
        return [layer for layer in shapes if projection(layer) in self.config.predicted]

    def forward(self, loras: Sequence[LoRA]) -> Coefficients:
        """Return the coefficients of these LoRAs.

        Args:
            loras: As many LoRAs as `n_loras`, in the order of training.

        Returns:
            For each layer of any LoRA one vector (in,) for each LoRA, by "rank" (rank, 1), or one number () where the
            coefficient is fixed.

        Raises:
            ValueError: The number of LoRAs differs, their shapes clash, or a layer's group is unknown.
        """
        if len(loras) != self.config.n_loras:
            raise ValueError(f"expected {self.config.n_loras} LoRAs for this merger, found {len(loras)}: give as many")
        check_same_shapes(loras)
        shapes = linear_shapes(loras)
        numbers = dict(zip(self.config.groups, torch.split(self.values, self.rows), strict=True))
        groups = self._layer_groups(loras)
        if self.config.group == "rank":
            vectors = {layer: _by_direction(layer, numbers[group], loras) for layer, group in groups.items()}
        else:
            vectors = {layer: _expand(layer, numbers[group], shapes[layer][1]) for layer, group in groups.items()}
        fixed = tuple(self.values.new_full((self.config.n_loras,), self.config.fixed))
        return Coefficients({layer: vectors.get(layer, fixed) for lora in loras for layer in lora.layers})

    @torch.no_grad()
    def start_from(self, coefficients: Coefficients) -> None:
        """Set the values to another merger's coefficients, for the groups "layer" (mean of the columns) and "column".

        Raises:
            ValueError: A group has several layers, or a layer is not among the coefficients.
        """
        missing = [layer for layer in self.config.groups if layer not in coefficients.layers]
        if missing or self.config.group not in ("layer", "column"):
            raise ValueError(
                f'expected coefficients for each layer, and groups by "layer" or "column", found none for '
                f"{missing[:3]} and groups by {self.config.group!r}: start from a merger for the same base model"
            )
        rows = []
        for layer, count in zip(self.config.groups, self.rows, strict=True):
            vectors = [m.float().reshape(-1) for m in coefficients.layers[layer]]
            rows.append(torch.stack([v.mean().expand(1) if count == 1 else v.expand(count) for v in vectors], dim=1))
        self.values.copy_(torch.cat(rows))

    def _layer_groups(self, loras: Sequence[LoRA]) -> dict[str, str]:
        """Return the group of each learned layer."""
        shapes = linear_shapes(loras)
        names = {layer: _group_of(layer, shapes[layer], self.config.group) for layer in self.predicted(loras)}
        unknown = sorted(set(names.values()) - set(self.config.groups))
        if unknown:
            raise ValueError(
                f"expected layers of the merger's {len(self.config.groups)} {self.config.group} groups, first "
                f"{list(self.config.groups[:3])}, found {len(unknown)} other groups in the LoRAs, first {unknown[:3]}: "
                "use a merger that was trained for their base model"
            )
        return names


def constant_merger(
    numbers: Mapping[str, Sequence[float]], group: Group = "width", fixed: float = 1.0
) -> ConstantMerger:
    """Return a merger of given coefficients, which needs no training.

    Args:
        numbers: Out width, projection or layer path -> one coefficient for each LoRA.
        group: What the keys are. Coefficients by projection or by layer apply to the projections that the keys name,
            those by width to to_q and to_out.
        fixed: Coefficient of all other layers, for every LoRA.

    Raises:
        ValueError: There are no coefficients, or their number differs between groups.
    """
    rows = [list(row) for row in numbers.values()]
    if not rows or len({len(row) for row in rows}) > 1:
        raise ValueError(f"expected one coefficient for each LoRA in each {group}, found {dict(numbers)}")
    projections = {"projection": tuple(numbers), "layer": tuple(dict.fromkeys(map(projection, numbers)))}
    predicted = projections.get(group, ConstantConfig.predicted)
    config = ConstantConfig(tuple(numbers), group, len(rows[0]), predicted=predicted, fixed=fixed)
    merger = ConstantMerger(config).requires_grad_(False)
    merger.values.copy_(torch.tensor(rows))
    return merger.eval()


def groups_of(lora: LoRA, group: Group, predicted: Sequence[str] = ("to_q", "to_out")) -> tuple[str, ...]:
    """Return the groups that a LoRA of the base model needs: widths, projections or layers of its projections."""
    shapes = {layer: shape for layer, shape in linear_shapes([lora]).items() if projection(layer) in predicted}
    if group == "width":
        return tuple(str(width) for width in sorted({out for out, _ in shapes.values()}))
    return tuple(dict.fromkeys(_group_of(layer, shape, group) for layer, shape in shapes.items()))


def sized_config(config: ConstantConfig, loras: Sequence[LoRA]) -> ConstantConfig:
    """Return the configuration with the groups, and the columns of each, that these LoRAs need."""
    shapes = linear_shapes(loras)
    union = LoRA({layer: delta for lora in loras for layer, delta in lora.layers.items()})
    groups = groups_of(union, config.group, config.predicted)
    columns: tuple[int, ...] = ()
    if config.group == "column":
        columns = tuple(shapes[layer][1] for layer in groups)
    elif config.group == "rank":
        groups = tuple(layer for layer in groups if _rank(loras, layer))
        columns = tuple(_rank(loras, layer) for layer in groups)
    return replace(config, groups=groups, columns=columns)


def linear_shapes(loras: Sequence[LoRA]) -> dict[str, tuple[int, int]]:
    """Return the shapes (out, in) of the weights of linear modules that any of the LoRAs holds."""
    deltas = {layer: delta for lora in loras for layer, delta in lora.layers.items()}
    return {
        layer: (delta.shape[0], delta.shape[1])
        for layer, delta in deltas.items()
        if len(delta.shape) == 2 and not delta.kernel
    }


def _group_of(layer: str, shape: tuple[int, int], group: Group) -> str:
    """Return the group of a layer: its out width or its projection, else the layer itself."""
    return {"width": str(shape[0]), "projection": projection(layer)}.get(group, layer)


def _rank(loras: Sequence[LoRA], layer: str) -> int:
    """Return the largest rank of a layer's deltas; 0 where one of them is dense."""
    held = [lora.layers[layer] for lora in loras if layer in lora.layers]
    ranks = [delta.rank for delta in held if isinstance(delta, LowRank)]
    return max(ranks, default=0) if len(ranks) == len(held) else 0


def _by_direction(layer: str, numbers: Tensor, loras: Sequence[LoRA]) -> tuple[Tensor, ...]:
    """Return a column (rank, 1) for each LoRA from numbers (largest rank, n)."""
    ranks = [_rank([lora], layer) for lora in loras]
    if max(ranks) > len(numbers):
        raise ValueError(
            f"expected a rank of at most {len(numbers)} in {layer}, found {max(ranks)}: use a merger that was made for "
            "these LoRAs"
        )
    return tuple(numbers[:rank, i : i + 1] for i, rank in enumerate(ranks))


def _expand(layer: str, numbers: Tensor, width: int) -> tuple[Tensor, ...]:
    """Return n vectors (in,) for numbers (1, n) or (in, n).

    A single number becomes a vector too, because the similarity term counts columns.
    """
    if len(numbers) not in (1, width):
        raise ValueError(
            f"expected {len(numbers)} columns in {layer}, found {width}: use a merger that was made for its base model"
        )
    return numbers.expand(width, -1).unbind(1)
