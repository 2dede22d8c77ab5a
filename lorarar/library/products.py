"""Inner products: exact products and shares of energy of whole LoRAs from their factors, without dense deltas.

<dW_i, dW_j> = s_i s_j sum((A_i A_j^T) * (B_i^T B_j)) costs O(rank^2 (in + out)) for each layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lorarar.lora import Layer, LoRA, LowRank, inner, thin_svd

_NEGLIGIBLE = 1e-5  # of the largest singular value; smaller directions are rounding


@dataclass(frozen=True)
class PairMeasure:
    """Exact measures of two LoRAs a and b.

    Attributes:
        cosine: <a, b> / (|a| |b|) over all layers, -1 to 1; 0 if one of them is zero.
        ratio: |b| / |a|; infinite for a zero a.
        projection: <a, b> / |b|^2, the factor of b in a as far as a projection on b tells; 1 for a truncation b of a.
        inside: Share of the energy of b inside the column and row spaces of a, 0 to 1.
        outputs: Share of the energy of b inside the column spaces of a alone, which no scaling of columns changes.
        outputs_by_chance: Expected value for random subspaces of these ranks.
        leading: Energy of b relative to that of the truncation of a to the ranks of b; 1 for that truncation.
        wider: Whether a has more directions than b, as a merge has.
    """

    cosine: float
    ratio: float
    projection: float
    inside: float
    outputs: float
    outputs_by_chance: float
    leading: float
    wider: bool


def inner_layers(a: LoRA, b: LoRA) -> dict[str, float]:
    """Return the inner product <dW_a, dW_b> of each layer that both hold in one shape."""
    shared = [path for path, layer in a.layers.items() if path in b.layers and layer.shape == b.layers[path].shape]
    return {path: inner_layer(a.layers[path], b.layers[path]) for path in shared}


def inner_layer(a: Layer, b: Layer) -> float:
    """Return <dW_a, dW_b> of two deltas of one shape."""
    if isinstance(a, LowRank) and isinstance(b, LowRank):
        # Factors of one delta may be long and nearly cancel, so their products are summed in float64.
        return float(inner(a.to(dtype=torch.float64), b.to(dtype=torch.float64)))
    return float((a.delta().double() * b.delta()).sum())


def energy(lora: LoRA) -> float:
    """Return the squared Frobenius norm of all deltas."""
    return math.fsum(inner_layer(layer, layer) for layer in lora.layers.values())


def cosine(a: LoRA, b: LoRA) -> float:
    """Return the cosine of two LoRAs over all layers; 0 if one of them is zero."""
    total = math.sqrt(energy(a) * energy(b))
    return math.fsum(inner_layers(a, b).values()) / total if total else 0.0


def direction_cosine(a: LoRA, b: LoRA) -> float:
    """Return the cosine of two LoRAs with every layer scaled to length 1, which the fingerprint "direction" estimates.

    Layers of one LoRA alone count in the length; zero layers do not count.
    """
    lengths = [{p: math.sqrt(e) for p, f in lora.layers.items() if (e := inner_layer(f, f)) > 0} for lora in (a, b)]
    products = inner_layers(a, b)
    shared = products.keys() & lengths[0].keys() & lengths[1].keys()
    total = math.fsum(products[path] / lengths[0][path] / lengths[1][path] for path in shared)
    count = math.sqrt(len(lengths[0]) * len(lengths[1]))
    return total / count if count else 0.0


def measure_pair(a: LoRA, b: LoRA) -> PairMeasure:
    """Measure how b relates to a."""
    dot, energy_a, energy_b = math.fsum(inner_layers(a, b).values()), energy(a), energy(b)
    shares = np.zeros(3)  # inside, outputs, outputs by chance
    best, ranks = 0.0, 0
    for path, layer in b.layers.items():
        other = a.layers.get(path)
        if other is None or other.shape != layer.shape or not energy_b:
            continue
        if isinstance(other, LowRank) and isinstance(layer, LowRank):
            u, s, vh = spaces(other)
            up, down = layer.scale * (u.T @ layer.B.double()), layer.A.double()
            by_chance = inner_layer(layer, layer) * len(s) / other.shape[0]
            energies = [_product_energy(up, down @ vh.T), _product_energy(up, down), by_chance]
            shares += np.array(energies) / energy_b
            best += float(s[: layer.rank].square().sum())  # the largest energy of a truncation
            ranks += len(s) - layer.rank
        else:  # a dense delta spans everything
            shares += inner_layer(layer, layer) / energy_b
            best = math.inf
    length = math.sqrt(energy_a * energy_b)
    return PairMeasure(
        cosine=dot / length if length else 0.0,
        ratio=math.sqrt(energy_b / energy_a) if energy_a else math.inf,
        projection=dot / energy_b if energy_b else 0.0,
        inside=float(min(shares[0], 1)),
        outputs=float(min(shares[1], 1)),
        outputs_by_chance=float(shares[2]),
        leading=energy_b / best if best else 0.0,
        wider=ranks > 0,
    )


def spaces(layer: LowRank) -> tuple[Tensor, Tensor, Tensor]:
    """Return U (out, r), singular values (r,) and V^T (r, in) of a delta of rank r, in float64."""
    u, s, vh = (part.double() for part in thin_svd(layer))
    kept = (s > _NEGLIGIBLE * s.max()) & (s > 0)
    return u[:, kept], s[kept], vh[kept]


def _product_energy(up: Tensor, down: Tensor) -> float:
    """Return |up down|^2 from the Gram matrices of the thin sides."""
    return float(torch.sum((up.T @ up) * (down @ down.T)).clamp_min(0))
