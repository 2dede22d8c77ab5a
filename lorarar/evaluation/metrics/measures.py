"""Measures: pure functions of features, with numpy only.

Features are rows (n, d), one per image. A hat, as in x^, marks a row that was divided by its length.

Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859 (the LyCORIS evaluation framework).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]


def normalise(x: ArrayLike) -> Float64Array:
    """Divide each row of (n, d) by its length, in float64.

    Raises:
        ValueError: There are no rows, a value is not finite, or a row of zeros has no direction.
    """
    rows = np.asarray(x, np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError(
            f"expected finite features (n, d), found shape {rows.shape}: leave out images without features"
        )
    largest = np.abs(rows).max(axis=1, keepdims=True)  # divide by it first: squares then neither overflow nor vanish
    if not largest.all():
        raise ValueError("expected features with a direction, found a row of zeros: leave that image out")
    scaled = rows / largest
    unit: Float64Array = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def cosine_fidelity(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean cosine between the rows of two sets: <mu_X, mu_Y>, where mu is the mean of the normalised rows.

    Args:
        x: Features of one set (n, d).
        y: Features of the other set (m, d).

    Returns:
        -1 to 1; higher means more similar sets.

    Reference: arXiv 2309.14859.
    """
    return float(_centroid(x) @ _centroid(y))


def centroid_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return the squared distance between two centroids: ||mu_X - mu_Y||^2 = 2 - 2 <mu_X, mu_Y> - Var(X^) - Var(Y^).

    It is 0 for equal sets, however varied they are; the mean cosine is not 1 there.

    Args:
        x: Features of one set (n, d).
        y: Features of the other set (m, d).

    Returns:
        0 to 4; lower means more similar sets.

    Reference: arXiv 2309.14859.
    """
    difference = _centroid(x) - _centroid(y)
    return float(difference @ difference)


def vendi(x: ArrayLike) -> float:
    """Return the Vendi score, the effective number of different rows of (n, d).

    VS = exp(-sum_i l_i log l_i), where l_i are the eigenvalues of K/n and K (n, n) holds the cosines of the rows.

    Returns:
        1 (all rows equal) to n (all rows orthogonal). Repeating the whole set does not change it.

    Reference: Friedman and Dieng, "The Vendi Score", arXiv 2210.02410, equation 1.
    """
    rows = normalise(x)
    # Both products have the same non-zero eigenvalues; the smaller one is cheaper.
    small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    values = np.linalg.eigvalsh(small / len(rows))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))


def gram(maps: ArrayLike) -> Float64Array:
    """Return the Gram matrices G = F F^T / (C H W) of feature maps, where F is a map flattened to (C, H W).

    Args:
        maps: Feature maps (n, c, h, w).

    Returns:
        Gram matrices (n, c, c).

    Raises:
        ValueError: The maps are not 4-D, or there are none.

    Reference: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, equation 3;
    the division by C H W is Johnson et al., "Perceptual Losses", arXiv 1603.08155.
    """
    array = np.asarray(maps, np.float64)
    if array.ndim != 4 or not array.size:
        raise ValueError(f"expected feature maps (n, c, h, w), found shape {array.shape}")
    flat = array.reshape(*array.shape[:2], -1)
    matrices: Float64Array = flat @ flat.transpose(0, 2, 1) / (flat.shape[1] * flat.shape[2])
    return matrices


def harmonic_mean(a: ArrayLike, b: ArrayLike) -> Float64Array:
    """Return 2 a b / (a + b), element by element; 0 where a or b is not positive, NaN where one is missing."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    positive = (first > 0) & (second > 0)
    sums = np.where(positive, first + second, 1.0)
    mean: Float64Array = np.where(positive, 2 * first * second / sums, np.where(np.isnan(first + second), np.nan, 0.0))
    return mean


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN where there are none."""
    present = [value for value in values if not math.isnan(value)]
    return math.fsum(present) / len(present) if present else math.nan


def rank_normalise(values: ArrayLike) -> Float64Array:
    """Return ranks between 0 (lowest value) and 1 (highest value): (n - rank)/(n - 1), where rank 1 is the highest.

    Tied values share the mean of their ranks. NaN stays NaN and does not count towards n. A single value has no rank:
    NaN. Any increasing function of the values gives the same ranks. Negate a metric for which lower is better.

    Args:
        values: Values (n,).

    Raises:
        ValueError: The values are not 1-D.

    Reference: arXiv 2309.14859, section 5.1.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected values (n,), found shape {array.shape}")
    ranks, is_present = np.full(array.shape, np.nan), ~np.isnan(array)
    present = array[is_present]
    if len(present) > 1:
        lower = (present[None] < present[:, None]).sum(1)
        tied = (present[None] == present[:, None]).sum(1) - 1
        ranks[is_present] = (lower + tied / 2) / (len(present) - 1)
    return ranks


def _centroid(x: ArrayLike) -> Float64Array:
    centroid: Float64Array = normalise(x).mean(axis=0)
    return centroid
