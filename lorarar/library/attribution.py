"""Attribution: a LoRA as a weighted sum of others, by least squares on exact inner products.

With the merge w and candidates d_j the weights minimise |w - sum_j c_j d_j|^2 over c >= 0, which needs the products
<d_i, d_j> and <w, d_j> alone. Once the inputs are chosen, their weights are fitted inside the column and row spaces of
w: a sum that was truncated by SVD is the projection of the sum on these spaces, so its weights come out exactly. Where
that leaves a residual, w is no sum, and the weights are those of the whole deltas.

A bootstrap over layers gives the intervals. Where w is a weighted sum, truncated or not, they cover the weights. Other
methods apply no single weight to an input; then the intervals describe the weights of the nearest sum, and the residual
says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lorarar.library.products import spaces
from lorarar.lora import Layer, LoRA, LowRank, factorise

Matrix = NDArray[np.float64]
_SAMPLES = 200
_UNEXPLAINED = 0.6  # residual above which a LoRA is more likely trained than merged
_SUM = 0.001  # residual up to which a LoRA is a weighted sum; half precision leaves less
_LEAST_GAIN = 0.003  # share of the energy that an input must explain beyond the others


@dataclass(frozen=True)
class Share:
    """Part of one input in a merge.

    Attributes:
        name: The input.
        weight: Its weight c_j.
        low, high: 95 % interval of the weight, by a bootstrap over layers.
        gain: Share of the merge's energy that only this input explains.
    """

    name: str
    weight: float
    low: float
    high: float
    gain: float


@dataclass(frozen=True)
class Attribution:
    """Inputs of a LoRA among candidates.

    Attributes:
        name: The LoRA.
        shares: The inputs, the largest contribution first.
        residual: Share of the LoRA's energy that they do not explain, 0 to 1.
    """

    name: str
    shares: tuple[Share, ...]
    residual: float

    @property
    def is_sum(self) -> bool:
        """Whether the LoRA is a weighted sum of the inputs, truncated or not; then the intervals cover its weights."""
        return self.residual <= _SUM

    def text(self) -> str:
        """Return "merged = .80 a + .60 b, residual 1.2 %" and a line with the evidence of each input."""
        formula = " + ".join(f"{share.weight:.2f} {share.name}" for share in self.shares) or "none of the candidates"
        lines = [f"{self.name} = {formula}, residual {self.residual:.1%} of the energy"]
        if self.shares and self.residual > _UNEXPLAINED:
            lines.append("  most is unexplained: a LoRA that was trained, or a merge that drops entries at random")
        elif self.shares and not self.is_sum:
            lines.append("  not a plain sum: these are the weights of the nearest sum, not those given to a method")
        for s in self.shares:
            interval = f"[{s.low:.3f}, {s.high:.3f}]"
            lines.append(f"  {s.name}: weight {s.weight:.3f} {interval}, it alone explains {s.gain:.1%}")
        return "\n".join(lines)


def attribute_lora(merged: LoRA, candidates: Sequence[LoRA]) -> Attribution:
    """Return the weights of the candidates whose sum is nearest to a LoRA.

    Args:
        merged: The LoRA to explain.
        candidates: Possible inputs, some tens at most; their names are those of the result.
    """
    grams, dots, energies = layer_products(merged, candidates)
    gram, dot, total = grams.sum(0), dots.sum(0), float(energies.sum())
    if not len(candidates) or not total:
        return Attribution(merged.name, (), 1.0)
    gains = _select(gram, dot, _LEAST_GAIN * total)
    if not gains:
        return Attribution(merged.name, (), 1.0)
    inputs = [candidates[number] for number in gains]
    grams, dots, _ = layer_products(*_inside(merged, inputs))
    weights, residual = _fit(grams.sum(0), dots.sum(0), total)
    if residual > _SUM:  # no sum: nothing is gained in the spaces of the merge, which fit its noise
        grams, dots, _ = layer_products(merged, inputs)
        weights, residual = _fit(grams.sum(0), dots.sum(0), total)
    lows, highs = np.quantile(_bootstrap(grams, dots), (0.025, 0.975), axis=0)
    rows = zip(weights, lows, highs, np.array([*gains.values()]) / total, strict=True)
    shares = [Share(lora.name, *map(float, row)) for lora, row in zip(inputs, rows, strict=True)]
    return Attribution(merged.name, tuple(sorted(shares, key=lambda share: -share.gain)), residual)


def _fit(gram: Matrix, dot: Matrix, total: float) -> tuple[Matrix, float]:
    """Return the weights (n,) and the share of the energy that they leave."""
    weights = nonnegative_least_squares(gram, dot)
    return weights, min(max(1 - _explained(gram, dot, weights) / total, 0.0), 1.0)


def _inside(merged: LoRA, inputs: Sequence[LoRA]) -> tuple[LoRA, list[LoRA]]:
    """Return the merge and its inputs in coordinates of the column and row spaces of the merge, U^T dW V."""
    loras = [merged, *inputs]
    layers: list[dict[str, Layer]] = [dict(lora.layers) for lora in loras]
    for path, layer in merged.layers.items():
        deltas = [delta for lora in loras if isinstance(delta := lora.layers.get(path), LowRank)]
        if isinstance(layer, LowRank) and [delta.shape for delta in deltas] == [layer.shape] * len(loras):
            u, _, vh = spaces(layer)
            for held, delta in zip(layers, deltas, strict=True):
                held[path] = LowRank(u.T @ delta.B.double(), delta.A.double() @ vh.T, delta.scale)
    first, *others = (replace(lora, layers=held) for lora, held in zip(loras, layers, strict=True))
    return first, others


def layer_products(merged: LoRA, candidates: Sequence[LoRA]) -> tuple[Matrix, Matrix, Matrix]:
    """Return the products of each layer of the merge: <d_i, d_j> (l, n, n), <w, d_j> (l, n) and <w, w> (l,)."""
    count, held = len(candidates) + 1, [merged, *candidates]
    products = np.zeros((len(merged.layers), count, count))
    for row, (path, layer) in enumerate(merged.layers.items()):
        deltas = [(i, lora.layers[path]) for i, lora in enumerate(held) if path in lora.layers]
        deltas = [(i, delta) for i, delta in deltas if delta.shape == layer.shape]
        places = [i for i, _ in deltas]
        products[row][np.ix_(places, places)] = _products([delta for _, delta in deltas])
    return products[:, 1:, 1:], products[:, 0, 1:], products[:, 0, 0]


def _products(deltas: Sequence[Layer]) -> Matrix:
    """Return the inner products of all pairs of deltas of one shape, (n, n).

    With all factors side by side, B = [B_1 .. B_n] and A = [A_1; ..; A_n], they are the sums of the blocks of
    (B^T B) * (A A^T), entry by entry.
    """
    if len(deltas[0].shape) == 1:
        rows = torch.stack([delta.delta().double() for delta in deltas])
        return (rows @ rows.T).numpy()
    factors = [factorise(delta) for delta in deltas]
    up = torch.cat([f.scale * f.B.double() for f in factors], dim=1)
    down = torch.cat([f.A.double() for f in factors])
    starts = np.cumsum([0, *(f.rank for f in factors[:-1])])
    blocks = ((up.T @ up) * (down @ down.T)).numpy()
    sums: Matrix = np.add.reduceat(np.add.reduceat(blocks, starts, axis=0), starts, axis=1)
    return sums


def nonnegative_least_squares(gram: Matrix, dot: Matrix) -> Matrix:
    """Return the c >= 0 that minimises c^T G c - 2 c^T g.

    Args:
        gram: Products of the candidates, (n, n).
        dot: Products with the target, (n,).

    Reference: C. L. Lawson and R. J. Hanson, "Solving Least Squares Problems", 1974, chapter 23.
    """
    count = len(dot)
    weights, passive = np.zeros(count), np.zeros(count, bool)
    tolerance = 1e-10 * max(float(np.abs(dot).max(initial=0)), 1e-30)
    for _ in range(3 * count + 1):
        slope = np.where(passive, -np.inf, dot - gram @ weights)
        if passive.all() or slope.max() <= tolerance:
            break
        passive[int(slope.argmax())] = True
        while True:
            trial = np.zeros(count)
            trial[passive] = np.linalg.lstsq(gram[np.ix_(passive, passive)], dot[passive], rcond=None)[0]
            negative = passive & (trial <= 0)
            if not negative.any():
                break
            step = (weights[negative] / (weights[negative] - trial[negative] + 1e-300)).min()
            weights = weights + step * (trial - weights)
            passive &= weights > 1e-12
            weights[~passive] = 0
        weights = trial
    return weights


def _select(gram: Matrix, dot: Matrix, least: float) -> dict[int, float]:
    """Return candidate -> the energy that it alone explains, for those that least squares uses and that explain enough.

    The weakest is left out first.
    """

    def best(chosen: list[int]) -> float:
        some = np.ix_(chosen, chosen)
        weights = nonnegative_least_squares(gram[some], dot[chosen])
        return _explained(gram[some], dot[chosen], weights)

    chosen = [int(i) for i in np.flatnonzero(nonnegative_least_squares(gram, dot))]
    while chosen:
        explained = best(chosen)
        gains = {number: explained - best([i for i in chosen if i != number]) for number in chosen}
        weakest = min(gains, key=lambda number: gains[number])
        if gains[weakest] >= least:
            return gains
        chosen.remove(weakest)
    return {}


def _explained(gram: Matrix, dot: Matrix, weights: Matrix) -> float:
    return float(2 * weights @ dot - weights @ gram @ weights)


def _bootstrap(grams: Matrix, dots: Matrix) -> Matrix:
    """Return the weights (samples, n) of resampled layers."""
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(grams), np.full(len(grams), 1 / len(grams)), size=_SAMPLES).astype(float)
    some_grams, some_dots = np.einsum("sl,lij->sij", drawn, grams), drawn @ dots
    return np.stack([nonnegative_least_squares(g, d) for g, d in zip(some_grams, some_dots, strict=True)])
