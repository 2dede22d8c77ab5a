"""Comparison of two LoRAs: alignment of their deltas and of their row and column spaces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from lorarar.formats.inspection.kinds import table_lines
from lorarar.formats.loading import load_all
from lorarar.lora import (
    Layer,
    LoRA,
    LowRank,
    block,
    check_same_shapes,
    delta_norm,
    in_threads,
    inner,
    label,
    orthonormal_bases,
    projection,
)
from lorarar.storage import printable, track

_COLLISIONS = 10
_MEANS = ("cosine", "inputs", "outputs", "inputs_by_chance", "outputs_by_chance")
_EXAMPLES = 3


@dataclass(frozen=True)
class Overlap:
    """Alignment of two deltas of one layer.

    Attributes:
        layer: Layer path.
        cosine: <dW_a, dW_b> / (|dW_a| |dW_b|), -1 to 1; 0 if one of them is zero.
        share: <dW_a, dW_b> / (|a| |b|) with the norms of the whole LoRAs. The shares of all layers add up to the
            cosine of the LoRAs.
        inputs: Mean squared cosine of the principal angles between the row spaces, 0 to 1: the extent to which both
            respond to the same inputs. None for a dense or zero delta.
        outputs: Mean squared cosine of the principal angles between the column spaces: the extent to which both write
            to the same outputs. None for a dense or zero delta.
        inputs_by_chance: Expected value of `inputs` for random subspaces of these ranks, max(rank) / in.
        outputs_by_chance: Expected value of `outputs` for random subspaces of these ranks, max(rank) / out.
    """

    layer: str
    cosine: float
    share: float
    inputs: float | None = None
    outputs: float | None = None
    inputs_by_chance: float | None = None
    outputs_by_chance: float | None = None


@dataclass(frozen=True)
class LoRAComparison:
    """Comparison of two LoRAs, layer by layer.

    Attributes:
        names: Names of the two LoRAs.
        norms: Frobenius norm of each LoRA over all its layers.
        cosine: Cosine of the two LoRAs as a whole. Layers of only one LoRA count in its norm.
        overlaps: One for each layer of both LoRAs, in the first LoRA's order.
        only: Layers of only the first LoRA, and layers of only the second.
    """

    names: tuple[str, str]
    norms: tuple[float, float]
    cosine: float
    overlaps: tuple[Overlap, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]

    def __repr__(self) -> str:
        return self.text()

    def groups(self) -> dict[tuple[str, str], list[Overlap]]:
        """Return (block, projection) -> the overlaps of its layers."""
        groups: dict[tuple[str, str], list[Overlap]] = {}
        for overlap in self.overlaps:
            groups.setdefault((block(overlap.layer), projection(overlap.layer)), []).append(overlap)
        return dict(sorted(groups.items()))

    def collisions(self, count: int = _COLLISIONS) -> list[Overlap]:
        """Return the layers that contribute most to the cosine of the whole, by absolute value, largest first."""
        return sorted(self.overlaps, key=lambda overlap: -abs(overlap.share))[:count]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data for JSON."""
        groups = []
        for (name, role), members in self.groups().items():
            share = sum(overlap.share for overlap in members)
            means = {field: _mean(getattr(overlap, field) for overlap in members) for field in _MEANS}
            groups.append({"block": name, "projection": role, "layers": len(members), "share": share, **means})
        collisions = [overlap.layer for overlap in self.collisions()]
        return asdict(self) | {"groups": groups, "collisions": collisions}

    def text(self) -> str:
        """Return the comparison as text."""
        return "\n".join(map(printable, _lines(self)))


def compare_loras(a: LoRA, b: LoRA) -> LoRAComparison:
    """Compare two LoRAs for one base model through their factors, without the dense deltas of low-rank layers.

    Raises:
        ValueError: A layer has different shapes in the two LoRAs.
    """
    check_same_shapes([a, b])
    lengths = [dict(zip(lora.layers, in_threads(delta_norm, lora.layers.values()), strict=True)) for lora in (a, b)]
    norms = math.hypot(*lengths[0].values()), math.hypot(*lengths[1].values())
    whole = norms[0] * norms[1]
    in_both = [layer for layer in a.layers if layer in b.layers]

    def compare_layer(layer: str) -> Overlap:
        size = lengths[0][layer] * lengths[1][layer]
        return _overlap(layer, a.layers[layer], b.layers[layer], size, whole)

    overlaps = tuple(track(in_threads(compare_layer, in_both), "compare", len(in_both), "layers"))
    only_a = tuple(layer for layer in a.layers if layer not in b.layers)
    only_b = tuple(layer for layer in b.layers if layer not in a.layers)
    return LoRAComparison(
        names=(label(a, 0), label(b, 1)),
        norms=norms,
        cosine=_clamped(sum(overlap.share for overlap in overlaps)),
        overlaps=overlaps,
        only=(only_a, only_b),
    )


def compare_files(a: str | Path, b: str | Path, base: str | Path | None = None) -> LoRAComparison:
    """Compare two LoRA files, as `compare_loras` does.

    Args:
        a: First LoRA file.
        b: Second LoRA file.
        base: Folder or file of the base model, if a LoRA needs it (DoRA, IA3, OFT, GLoRA).

    Raises:
        FormatError: A file cannot be read.
        ValueError: A layer has different shapes in the two LoRAs.
    """
    return compare_loras(*load_all([a, b], base))


def _overlap(layer: str, a: Layer, b: Layer, lengths: float, whole: float) -> Overlap:
    product = _inner(a, b)
    cosine, share = (_clamped(product / size) if size else 0.0 for size in (lengths, whole))
    if not lengths or not isinstance(a, LowRank) or not isinstance(b, LowRank):
        return Overlap(layer, cosine, share)
    (out_a, in_a), (out_b, in_b) = _spaces(a), _spaces(b)
    rank = max(out_a.shape[1], out_b.shape[1])
    out, width = a.shape
    return Overlap(layer, cosine, share, _common(in_a, in_b), _common(out_a, out_b), rank / width, rank / out)


def _inner(a: Layer, b: Layer) -> float:
    """Return <dW_a, dW_b>."""
    if isinstance(a, LowRank) and isinstance(b, LowRank):
        product = inner(a, b)
    elif isinstance(a, LowRank):
        product = _inner_mixed(a, b.delta())
    elif isinstance(b, LowRank):
        product = _inner_mixed(b, a.delta())
    else:
        product = (a.delta() * b.delta()).sum()
    return float(product)


def _inner_mixed(a: LowRank, delta: Tensor) -> Tensor:
    """Return <s B A, dW> = s sum((B^T dW) * A)."""
    return a.scale * ((a.B.to(delta.dtype).T @ delta) * a.A.to(delta.dtype)).sum()


def _spaces(a: LowRank) -> tuple[Tensor, Tensor]:
    """Return orthonormal bases of the column space (out, k) and the row space (in, k), k being the delta's own rank."""
    (q_out, q_in), core = orthonormal_bases(a)
    s = torch.linalg.svdvals(core)
    nonzero = s > s[0] * max(a.shape) * torch.finfo(s.dtype).eps
    if core.shape[0] == core.shape[1] and bool(nonzero.all()):
        return q_out, q_in
    u, _, vh = torch.linalg.svd(core, full_matrices=False)
    return q_out @ u[:, nonzero], q_in @ vh[nonzero].T


def _common(a: Tensor, b: Tensor) -> float:
    """Return the mean squared cosine of the principal angles, |Q_a^T Q_b|^2 / min(k), for orthonormal Q (n, k)."""
    return min(float((a.T @ b).square().sum()) / min(a.shape[1], b.shape[1]), 1.0)


def _clamped(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine))


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers else None


def _lines(comparison: LoRAComparison) -> Iterator[str]:
    first, second = (f"{name} (norm {norm:.4g})" for name, norm in zip(comparison.names, comparison.norms, strict=True))
    yield f"{first} and {second}: cosine {comparison.cosine:+.4f}"
    for name, layers in zip(comparison.names, comparison.only, strict=True):
        if layers:
            yield f"only {name} contains {len(layers)} layers, first {', '.join(layers[:_EXAMPLES])}"
    if not comparison.overlaps:
        yield "the two have no layer in common"
        return
    yield "means over the layers of a block, in brackets the expected value for random subspaces of these ranks"
    head = ("block, projection", "layers", "cosine", "share", "same inputs", "same outputs")
    rows = [
        _row(f"{name}, {role}", members, str(len(members))) for (name, role), members in comparison.groups().items()
    ]
    yield from table_lines([head, *rows])
    yield "layers with the largest share"
    top = ("layer", "cosine", "share", "same inputs", "same outputs")
    yield from table_lines([top, *(_row(overlap.layer, [overlap]) for overlap in comparison.collisions())])


def _row(name: str, members: Sequence[Overlap], *count: str) -> tuple[str, ...]:
    share = sum(overlap.share for overlap in members)
    cosine, *means = (_mean(getattr(overlap, field) for overlap in members) for field in _MEANS)
    inputs, outputs = _with_chance(means[0], means[2]), _with_chance(means[1], means[3])
    return name, *count, f"{cosine:+.4f}", f"{share:+.1e}", inputs, outputs


def _with_chance(value: float | None, chance: float | None) -> str:
    return "-" if value is None else f"{value:.3f} ({chance:.3f})"
