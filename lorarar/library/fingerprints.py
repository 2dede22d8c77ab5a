"""Fingerprints: short vectors that describe a LoRA, whatever its dialect and factorisation.

A fingerprint is computed from the deltas dW = scale B A through small products of the factors, so it is the same for
(B G) (G^-1 A) with any invertible G, and dW is not formed.

* sketch: z = sum over layers l of D_l * (S^T dW_l R), entry by entry, with random S (out, k) and R (in, k) of
  variance 1/k and random signs D_l (k, k). z is linear in the deltas, and <z_i, z_j> is an unbiased estimate of the
  inner product of two LoRAs.
* direction: the same sum with dW_l / |dW_l|, so that each layer counts alike and the length of a LoRA does not count.
* spectrum: for each group of layers the mean logarithms of the share of the norm and of the leading singular values.

References:
    D. P. Woodruff, "Sketching as a Tool for Numerical Linear Algebra", 2014.
    "A LoRA is Worth a Thousand Pictures", 2024: LoRA weights as descriptors of a style.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorarar.formats.inspection import layer_kind
from lorarar.lora import Layer, LoRA, LowRank, block, is_text_encoder

Vector = NDArray[np.float32]
VERSION = 1  # of the computation in this file; an index of another version cannot be compared
SIDE = 16  # k
LEADING = 4  # singular values in the spectrum
_FLOOR = 1e-4  # smaller ratios count as this in a logarithm
_ROLES = ("attention q", "attention k", "attention v", "attention out", "feed-forward", "convolution", "projection")
_DEPTHS = ("early", "middle", "late")
GROUPS = (
    *(f"{role} {side} {depth}" for role in _ROLES for side in ("self", "cross") for depth in _DEPTHS),
    "text encoder",
    "other",
)


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprints of one LoRA.

    Attributes:
        vectors: Name -> vector: "sketch" (256,), "direction" (256,), "spectrum" (groups * 5,).
        norm: Frobenius norm of all deltas together.
    """

    vectors: Mapping[str, Vector]
    norm: float


def fingerprint_lora(lora: LoRA) -> Fingerprint:
    """Compute all fingerprints of a LoRA.

    Args:
        lora: The LoRA. Norms and biases count in the sketch, not in the spectrum.
    """
    sketch, direction = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
    measured = measure_layers(lora)
    for path, layer in lora.layers.items():
        part = _signs(path) * project(layer)
        sketch += part
        norm = measured[path].norm if path in measured else float(layer.delta().norm())
        direction += part / norm if norm else 0.0
    total = math.sqrt(sum(m.norm**2 for m in measured.values()) + _vector_energy(lora))
    vectors = {
        "sketch": sketch.flatten().numpy(),
        "direction": direction.flatten().numpy(),
        "spectrum": _spectrum(lora, measured, total),
    }
    return Fingerprint(vectors, total)


def project(layer: Layer) -> Tensor:
    """Return S^T dW R, (k, k), in float32.

    A vector (n,) counts as a matrix (n, 1).
    """
    if isinstance(layer, LowRank):
        out, width = layer.shape
        up, down = random_matrix("out", out).T @ layer.B.float(), layer.A.float() @ random_matrix("in", width)
        return layer.scale * (up @ down)
    delta = layer.delta().float().reshape(layer.shape[0], -1)
    return random_matrix("out", delta.shape[0]).T @ (delta @ random_matrix("in", delta.shape[1]))


@lru_cache(maxsize=256)
def random_matrix(side: str, width: int) -> Tensor:
    """Return a random matrix (width, k) of variance 1/k that depends on its arguments alone."""
    values = np.random.default_rng(_seed(side, width)).standard_normal((width, SIDE)) / math.sqrt(SIDE)
    return torch.from_numpy(values.astype(np.float32))


@lru_cache(maxsize=8192)
def _signs(path: str) -> Tensor:
    signs = np.random.default_rng(_seed("signs", path)).integers(0, 2, (SIDE, SIDE)) * 2 - 1
    return torch.from_numpy(signs.astype(np.float32))


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")


@dataclass(frozen=True)
class LayerMeasure:
    """Norm of a layer's delta, and its leading singular values as shares of the norm, largest first, (LEADING,)."""

    norm: float
    leading: Vector


def measure_layers(lora: LoRA) -> dict[str, LayerMeasure]:
    """Return the measures of every 2-D layer.

    The squared singular values of B A are the eigenvalues of G_A^(1/2) G_B G_A^(1/2) with the Gram matrices G_B = B^T B
    and G_A = A A^T; layers of one rank are computed together.
    """
    grams: dict[int, list[tuple[str, float, Tensor, Tensor]]] = defaultdict(list)
    for path, layer in lora.layers.items():
        if len(layer.shape) == 2:
            up, down, energy = _factors(layer)
            grams[up.shape[1]].append((path, energy, up.T @ up, down @ down.T))
    measures = {}
    for rows in grams.values():
        up, down = (torch.stack([row[i] for row in rows]).double() for i in (2, 3))  # type: ignore[misc]
        values, vectors = torch.linalg.eigh(down)
        root = vectors * values.clamp_min(0).sqrt()[:, None, :] @ vectors.mT
        squares = torch.linalg.eigvalsh(root @ up @ root).clamp_min(0).flip(-1)
        for (path, energy, *_), spectrum in zip(rows, squares, strict=True):
            total = float(spectrum.sum()) if math.isnan(energy) else energy
            shares = torch.zeros(LEADING)
            kept = min(LEADING, len(spectrum))
            shares[:kept] = (spectrum[:kept] / total).sqrt().float() if total else 0.0
            measures[path] = LayerMeasure(math.sqrt(total), shares.numpy())
    return measures


def _factors(layer: Layer) -> tuple[Tensor, Tensor, float]:
    """Return B, A and the energy; the energy is NaN where the factors give it.

    A dense delta is replaced by its leading directions, found by a round of subspace iteration.
    """
    if isinstance(layer, LowRank):
        return layer.scale * layer.B.float(), layer.A.float(), math.nan
    delta = layer.delta().float()
    start = random_matrix("in", delta.shape[1])[:, : min(delta.shape)]
    basis = torch.linalg.qr(delta @ (delta.T @ (delta @ start))).Q
    return basis, basis.T @ delta, float(delta.square().sum())


def _vector_energy(lora: LoRA) -> float:
    return sum(float(layer.delta().square().sum()) for layer in lora.layers.values() if len(layer.shape) == 1)


def _spectrum(lora: LoRA, measured: Mapping[str, LayerMeasure], total: float) -> Vector:
    """Return the mean of (log share of the norm, logs of the leading shares) in each group, 0 for an empty group."""
    rows: dict[str, list[Vector]] = defaultdict(list)
    for path, group in layer_groups(measured).items():
        share = measured[path].norm / total if total else 0.0
        values = np.array([share, *measured[path].leading], np.float32)
        rows[group].append((np.log10(np.maximum(values, _FLOOR)) - math.log10(_FLOOR)).astype(np.float32))
    empty = np.zeros(LEADING + 1, np.float32)
    return np.concatenate([np.mean(rows[group], 0) if rows[group] else empty for group in GROUPS]).astype(np.float32)


def layer_groups(paths: Iterable[str]) -> dict[str, str]:
    """Return the group of each layer: its role, self- or cross-attention, and its depth in the model."""
    paths = list(paths)
    numbers = [_block_number(path) for path in paths]
    last = max((number for number in numbers if number is not None), default=0)
    groups = {}
    for path, number in zip(paths, numbers, strict=True):
        role = layer_kind(path)
        name = f"{role} {'cross' if _is_cross(path) else 'self'} {_depth(path, number, last)}"
        groups[path] = "text encoder" if is_text_encoder(path) else name if name in GROUPS else "other"
    return groups


def _is_cross(path: str) -> bool:
    """Return whether a layer sees the prompt: cross-attention of a UNet, projections of the prompt in a transformer."""
    return ".attn2." in path or ".add_" in path or "to_add_out" in path or "context" in path


def _block_number(path: str) -> int | None:
    """Return the number of a transformer's block; None for other layers."""
    name, _, number = block(path).rpartition(".")
    return int(number) if number.isdigit() and name not in ("down_blocks", "up_blocks") else None


def _depth(path: str, number: int | None, last: int) -> str:
    if number is not None:
        return _DEPTHS[min(3 * number // (last + 1), 2)]
    first = path.partition("_")[0]
    return {"down": "early", "up": "late"}.get(first, "middle")
