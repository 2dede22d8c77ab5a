"""Where two LoRAs collide: angles between their deltas and between the subspaces that these read and write."""

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
from lorarar.formats.loading import load
from lorarar.lora import Layer, LoRA, LowRank, block, check_same_shapes, inner, label, projection, thin_svd

_TOP = 10
_MEANS = ("cosine", "inputs", "outputs", "inputs_by_chance", "outputs_by_chance")
_SHOWN = 3


@dataclass(frozen=True)
class Overlap:
    """How two deltas of one layer lie to each other.

    Args:
        layer: Its path.
        cosine: <dW_a, dW_b> / (|dW_a| |dW_b|), -1 to 1; 0 where one of them is zero.
        share: <dW_a, dW_b> / (|a| |b|), the norms being those of the whole LoRAs: all layers' shares add up to the
            LoRAs' cosine.
        inputs: Mean squared cosine of the principal angles between the row spaces, 0 to 1: how far both react to
            the same inputs. None for a delta that has no thin factors, or is zero.
        outputs: The same of the column spaces: how far both write to the same outputs.
        inputs_by_chance: What random subspaces of these ranks have on average, max(rank) / in.
        outputs_by_chance: max(rank) / out.
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
    """Two LoRAs, layer by layer.

    Args:
        names: What the two are called.
        norms: Frobenius norm of each LoRA, all its layers together.
        cosine: Of the two as a whole; layers that only one of them holds count in its norm.
        overlaps: One for each layer that both hold, in the first LoRA's order.
        only: Layers that only the first holds, and that only the second holds.
    """

    names: tuple[str, str]
    norms: tuple[float, float]
    cosine: float
    overlaps: tuple[Overlap, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]

    def groups(self) -> dict[tuple[str, str], list[Overlap]]:
        """(block, projection) -> the overlaps of its layers."""
        found: dict[tuple[str, str], list[Overlap]] = {}
        for overlap in self.overlaps:
            found.setdefault((block(overlap.layer), projection(overlap.layer)), []).append(overlap)
        return dict(sorted(found.items()))

    def collisions(self, count: int = _TOP) -> list[Overlap]:
        """The layers that add most to the cosine of the whole, whatever its sign, the greatest first."""
        return sorted(self.overlaps, key=lambda overlap: -abs(overlap.share))[:count]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON."""
        groups = [
            {"block": name, "projection": role, "layers": len(members), "share": sum(o.share for o in members)}
            | {field: _mean(getattr(o, field) for o in members) for field in _MEANS}
            for (name, role), members in self.groups().items()
        ]
        collisions = [overlap.layer for overlap in self.collisions()]
        return asdict(self) | {"groups": groups, "collisions": collisions}

    def text(self) -> str:
        """The same for people."""
        return "\n".join(_lines(self))


def compare_loras(a: LoRA, b: LoRA) -> LoRAComparison:
    """Compares two LoRAs of one base model by their factors; the dense deltas are not formed where there are factors.

    Raises:
        ValueError: A layer has different shapes in the two.
    """
    check_same_shapes([a, b])
    norms = _norm(a), _norm(b)
    whole = norms[0] * norms[1]
    overlaps = tuple(_overlap(la, delta, b.layers[la], whole) for la, delta in a.layers.items() if la in b.layers)
    return LoRAComparison(
        names=(label(a, 0), label(b, 1)),
        norms=norms,
        cosine=_clamped(sum(overlap.share for overlap in overlaps)),
        overlaps=overlaps,
        only=(tuple(la for la in a.layers if la not in b.layers), tuple(la for la in b.layers if la not in a.layers)),
    )


def compare_files(a: str | Path, b: str | Path, base: str | Path | None = None) -> LoRAComparison:
    """`compare_loras` for two files.

    Args:
        a: A LoRA file.
        b: Another.
        base: The base model's folder or file, where a LoRA needs it (DoRA, IA3, OFT, GLoRA).

    Raises:
        FormatError: A file cannot be read.
        ValueError: The two are for different bases.
    """
    return compare_loras(load(a, base=base), load(b, base=base))


def _overlap(layer: str, a: Layer, b: Layer, whole: float) -> Overlap:
    product = _inner(a, b)
    sizes = math.sqrt(_inner(a, a)) * math.sqrt(_inner(b, b))
    cosine, share = (_clamped(product / size) if size else 0.0 for size in (sizes, whole))
    if not sizes or not isinstance(a, LowRank) or not isinstance(b, LowRank):
        return Overlap(layer, cosine, share)
    (out_a, in_a), (out_b, in_b) = _spaces(a), _spaces(b)
    rank = max(out_a.shape[1], out_b.shape[1])
    out, width = a.shape
    return Overlap(layer, cosine, share, _common(in_a, in_b), _common(out_a, out_b), rank / width, rank / out)


def _inner(a: Layer, b: Layer) -> float:
    """<dW_a, dW_b>; not negative where both are the same."""
    if isinstance(a, LowRank) and isinstance(b, LowRank):
        product = inner(a, b)
    elif isinstance(a, LowRank):
        product = _inner_mixed(a, b.delta())
    elif isinstance(b, LowRank):
        product = _inner_mixed(b, a.delta())
    else:
        product = (a.delta() * b.delta()).sum()
    return max(float(product), 0.0) if a is b else float(product)


def _inner_mixed(a: LowRank, delta: Tensor) -> Tensor:
    """<s B A, dW> = s sum((B^T dW) * A)."""
    return a.scale * ((a.B.to(delta.dtype).T @ delta) * a.A.to(delta.dtype)).sum()


def _norm(lora: LoRA) -> float:
    return math.hypot(*(math.sqrt(_inner(delta, delta)) for delta in lora.layers.values()))


def _spaces(a: LowRank) -> tuple[Tensor, Tensor]:
    """Orthonormal bases of the column space (out, k) and the row space (in, k), k being the delta's own rank."""
    u, s, vh = thin_svd(a)
    real = s > s[0] * max(a.shape) * torch.finfo(s.dtype).eps
    return u[:, real], vh[real].T


def _common(a: Tensor, b: Tensor) -> float:
    """Mean squared cosine of the principal angles, (n, k_a) and (n, k_b) being orthonormal: |Q_a^T Q_b|^2 / min(k)."""
    return min(float((a.T @ b).square().sum()) / min(a.shape[1], b.shape[1]), 1.0)


def _clamped(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _lines(found: LoRAComparison) -> Iterator[str]:
    first, second = found.names
    yield f"{first} (norm {found.norms[0]:.4g}) and {second} (norm {found.norms[1]:.4g}): cosine {found.cosine:+.4f}"
    for name, layers in zip(found.names, found.only, strict=True):
        if layers:
            yield f"only {name} holds {len(layers)} layers, first {', '.join(layers[:_SHOWN])}"
    if not found.overlaps:
        yield "no layer is in both"
        return
    yield "means over the layers of a block; in brackets what random subspaces of these ranks share"
    head = ("block, projection", "layers", "cosine", "share", "same inputs", "same outputs")
    yield from table_lines(
        [head, *(_row(f"{b}, {p}", members, str(len(members))) for (b, p), members in found.groups().items())]
    )
    yield "layers that collide most"
    top = ("layer", "cosine", "share", "same inputs", "same outputs")
    yield from table_lines([top, *(_row(overlap.layer, [overlap]) for overlap in found.collisions())])


def _row(name: str, members: Sequence[Overlap], *count: str) -> tuple[str, ...]:
    share = sum(overlap.share for overlap in members)
    cosine, *means = (_mean(getattr(overlap, field) for overlap in members) for field in _MEANS)
    inputs, outputs = _of_chance(means[0], means[2]), _of_chance(means[1], means[3])
    return name, *count, f"{cosine:+.4f}", f"{share:+.1e}", inputs, outputs


def _of_chance(value: float | None, chance: float | None) -> str:
    return "-" if value is None else f"{value:.3f} ({chance:.3f})"
