"""Plane: positions of entries in two dimensions, similar ones close together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lorarar.library.clusters import Pairs

_STEPS, _EXAGGERATED = 400, 100
_PERPLEXITY = 15.0


def place(similarities: Pairs) -> NDArray[np.float64]:
    """Return positions (n, 2) by t-SNE, scaled to -1 .. 1, for cosines (n, n) of all pairs; 1 - cosine is the distance.

    Reference: L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008).
    """
    count = len(similarities)
    if count < 4:
        angles = 2 * np.pi * np.arange(count) / max(count, 1)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1) * (count > 1)
    weights = _neighbour_weights(1 - similarities.astype(np.float64), min(_PERPLEXITY, (count - 1) / 3))
    weights = (weights + weights.T) / (2 * count)
    positions = np.random.default_rng(0).standard_normal((count, 2)) * 1e-2
    velocity, gains = np.zeros_like(positions), np.ones_like(positions)
    rate = max(count / 12, 10.0)
    for step in range(_STEPS):
        gradient = _gradient(positions, weights * (4 if step < _EXAGGERATED else 1))
        gains = np.maximum(np.where(gradient * velocity < 0, gains + 0.2, gains * 0.8), 0.01)
        velocity = (0.5 if step < _EXAGGERATED else 0.8) * velocity - rate * gains * gradient
        positions = positions + velocity
        positions -= positions.mean(0)
    scaled: NDArray[np.float64] = positions / np.abs(positions).max()
    return scaled


def _gradient(positions: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (positions**2).sum(1)
    near = 1 / (1 + np.maximum(squares[:, None] + squares - 2 * positions @ positions.T, 0))
    np.fill_diagonal(near, 0)
    pull = (weights - near / near.sum()) * near
    gradient: NDArray[np.float64] = 4 * (pull.sum(1)[:, None] * positions - pull @ positions)
    return gradient


def _neighbour_weights(distances: NDArray[np.float64], perplexity: float) -> NDArray[np.float64]:
    """Return each row's weights of the others, exp(-beta d^2), with beta such that the entropy is log(perplexity)."""
    squares = np.maximum(distances, 0) ** 2
    np.fill_diagonal(squares, np.inf)
    low, high = np.full(len(squares), 1e-3), np.full(len(squares), 1e6)
    for _ in range(60):  # bisection of all rows at once, on a logarithmic scale
        beta = np.sqrt(low * high)
        weights = np.exp(-beta[:, None] * (squares - squares.min(1, keepdims=True)))
        shares: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
    return shares
