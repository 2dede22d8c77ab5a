"""Fingerprints: short vectors that describe a LoRA, whatever its dialect and factorisation.

A fingerprint is computed from the deltas dW = scale B A through small products of the factors, so it is the same for
(B G) (G^-1 A) with any invertible G, and dW is not formed.

* sketch: z = sum over layers l of D_l * (S^T dW_l R), entry by entry, with random S (out, k) and R (in, k) of
  variance 1/k and random signs D_l = a_l b_l^T (k, k); k = 16. z is linear in the deltas, and <z_i, z_j> is an unbiased
  estimate of the inner product of two LoRAs.
* direction: the signs of the same sum with dW_l / |dW_l| and k = 128, as bits. Each layer counts alike, and the length
  of a LoRA does not count. Two LoRAs of cosine c differ in a share arccos(c) / pi of the bits.
* spectrum: for each group of layers the mean logarithms of the share of the norm and of the leading singular values.

References:
    D. P. Woodruff, "Sketching as a Tool for Numerical Linear Algebra", 2014.
    M. S. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002: signs of projections.
    "A LoRA is Worth a Thousand Pictures", 2024: LoRA weights as descriptors of a style.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorarar.formats.inspection import layer_kind
from lorarar.lora import Layer, LoRA, LowRank, block, factorise, is_text_encoder

Vector = NDArray[np.float32]
Array = NDArray[Any]  # float32 numbers, or packed bits as uint8
VERSION = 2  # of the computation in this file; an index of another version cannot be compared
SIDE, SKETCH_SIDE = 128, 16  # k of the direction and of the sketch, which takes the leading columns of S and R
LEADING = 4  # singular values in the spectrum
_TOGETHER = 64  # layers of one shape whose factors are in memory as float32
_SIGNS = np.array([-1, 1], np.float32)
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
        vectors: Name -> "direction" (2048,) bytes of bits, "sketch" (256,), "spectrum" (groups * 5,).
        norm: Frobenius norm of all deltas together.
    """

    vectors: Mapping[str, Array]
    norm: float


def fingerprint_lora(lora: LoRA) -> Fingerprint:
    """Compute all fingerprints of a LoRA.

    Args:
        lora: The LoRA. Norms and biases count in the sketch, not in the spectrum.
    """
    measures = measure_layers(lora)
    norms = {path: measure.norm for path, measure in measures.items()}
    norms |= {path: float(layer.delta().norm()) for path, layer in lora.layers.items() if path not in norms}
    sketch, direction = project_layers(lora, norms)
    total = math.hypot(*norms.values())
    vectors: dict[str, Array] = {
        "direction": np.packbits(direction.numpy().ravel() > 0),
        "sketch": sketch.numpy().ravel(),
        "spectrum": _spectrum(measures, total),
    }
    return Fingerprint(vectors, total)


def project_layers(lora: LoRA, norms: Mapping[str, float]) -> tuple[Tensor, Tensor]:
    """Return the sketch (16, 16) and, before its signs are taken, the direction (128, 128).

    With the factors of n layers of one shape side by side, the sums over layers are one product of thin matrices.

    Args:
        lora: The LoRA.
        norms: Norm of each layer's delta.
    """
    sketch, direction = torch.zeros(SKETCH_SIDE, SKETCH_SIDE), torch.zeros(SIDE, SIDE)
    for paths in _layers_of_one_shape(lora):
        ups, downs = zip(*(_thin_factors(lora.layers[path]) for path in paths), strict=True)
        ranks = torch.tensor([down.shape[0] for down in downs])
        up, down = torch.cat(ups, 1), torch.cat(downs)
        signs = torch.stack([_signs(path) for path in paths]).repeat_interleave(ranks, 0)  # (n rank, 2, k)
        left = (random_matrix("out", up.shape[0]).T @ up) * signs[:, 0].T
        right = (down @ random_matrix("in", down.shape[1])) * signs[:, 1]
        lengths = torch.tensor([norms[path] or math.inf for path in paths]).repeat_interleave(ranks)
        sketch += left[:SKETCH_SIDE] @ right[:, :SKETCH_SIDE] * (SIDE / SKETCH_SIDE)
        direction += (left / lengths) @ right
    return sketch, direction


def _layers_of_one_shape(lora: LoRA) -> Iterator[list[str]]:
    """Yield the paths of layers of one shape, some tens at a time."""
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for path, layer in lora.layers.items():
        groups[tuple(layer.shape)].append(path)
    for paths in groups.values():
        yield from (paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER))


def _thin_factors(layer: Layer) -> tuple[Tensor, Tensor]:
    """Return B with the scale, and A, in float32; a vector (n,) is a matrix (n, 1)."""
    if len(layer.shape) == 1:
        return layer.delta().float()[:, None], torch.ones(1, 1)
    f = factorise(layer)
    return f.scale * f.B.float(), f.A.float()


@lru_cache(maxsize=256)
def random_matrix(side: str, width: int) -> Tensor:
    """Return a random matrix (width, 128) of variance 1/128 that depends on its arguments alone."""
    values = np.random.default_rng(_seed(side, width)).standard_normal((width, SIDE), np.float32)
    return torch.from_numpy(values / np.float32(math.sqrt(SIDE)))


@lru_cache(maxsize=8192)
def _signs(path: str) -> Tensor:
    """Return the signs a and b of a layer, (2, 128)."""
    return torch.from_numpy(np.random.default_rng(_seed("signs", path)).choice(_SIGNS, (2, SIDE)))


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
            up, down, energy = _leading_factors(layer)
            grams[up.shape[1]].append((path, energy, up.T @ up, down @ down.T))
    measures: dict[str, LayerMeasure] = {}
    for rows in grams.values():
        paths, energies, ups, downs = zip(*rows, strict=True)
        values, vectors = torch.linalg.eigh(torch.stack(downs).double())
        root = vectors * values.clamp_min(0).sqrt()[:, None, :] @ vectors.mT
        squares = torch.linalg.eigvalsh(root @ torch.stack(ups).double() @ root).clamp_min(0).flip(-1)
        totals = torch.where(torch.tensor(energies).isnan(), squares.sum(1), torch.tensor(energies)).double()
        shares = (squares / totals.clamp_min(1e-300)[:, None]).sqrt().float()[:, :LEADING]
        padded = torch.nn.functional.pad(shares, (0, LEADING - shares.shape[1])).numpy()
        measures |= {p: LayerMeasure(float(t) ** 0.5, row) for p, t, row in zip(paths, totals, padded, strict=True)}
    return measures


def _leading_factors(layer: Layer) -> tuple[Tensor, Tensor, float]:
    """Return B, A and the energy; the energy is NaN where the factors give it.

    A dense delta is replaced by its leading directions, found by a round of subspace iteration.
    """
    if isinstance(layer, LowRank):
        return layer.scale * layer.B.float(), layer.A.float(), math.nan
    delta = layer.delta().float()
    start = random_matrix("in", delta.shape[1])[:, : min(SKETCH_SIDE, *delta.shape)]
    basis = torch.linalg.qr(delta @ (delta.T @ (delta @ start))).Q
    return basis, basis.T @ delta, float(delta.square().sum())


def _spectrum(measures: Mapping[str, LayerMeasure], total: float) -> Vector:
    """Return the mean of (log share of the norm, logs of the leading shares) in each group, 0 for an empty group."""
    if not measures:
        return np.zeros(len(GROUPS) * (LEADING + 1), np.float32)
    shares = np.array([[m.norm / total if total else 0.0, *m.leading] for m in measures.values()], np.float32)
    logs = np.log10(np.maximum(shares, _FLOOR)) - np.float32(math.log10(_FLOOR))
    groups = np.array([GROUPS.index(group) for group in layer_groups(tuple(measures)).values()])
    means = [logs[groups == i].mean(0) if i in groups else np.zeros(LEADING + 1) for i in range(len(GROUPS))]
    return np.concatenate(means).astype(np.float32)


@lru_cache(maxsize=64)
def layer_groups(paths: tuple[str, ...]) -> dict[str, str]:
    """Return the group of each layer: its role, self- or cross-attention, and its depth in the model."""
    numbers = [_block_number(path) for path in paths]
    last = max((number for number in numbers if number is not None), default=0)
    groups = {}
    for path, number in zip(paths, numbers, strict=True):
        name = f"{layer_kind(path)} {'cross' if _is_cross(path) else 'self'} {_depth(path, number, last)}"
        groups[path] = "text encoder" if is_text_encoder(path) else name if name in GROUPS else "other"
    return groups


def _is_cross(path: str) -> bool:
    """Return whether a layer sees the prompt: cross-attention of a UNet, projections of the prompt in a transformer."""
    return any(part in path for part in (".attn2.", ".add_", "to_add_out", "context"))


def _block_number(path: str) -> int | None:
    """Return the number of a transformer's block; None for other layers."""
    name, _, number = block(path).rpartition(".")
    return int(number) if number.isdigit() and name not in ("down_blocks", "up_blocks") else None


def _depth(path: str, number: int | None, last: int) -> str:
    if number is not None:
        return _DEPTHS[min(3 * number // (last + 1), 2)]
    return {"down": "early", "up": "late"}.get(path.partition("_")[0], "middle")
