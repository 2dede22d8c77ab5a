"""The measures as pure functions of features: no images, no encoders. numpy only.

Features are rows (n, d), one an image; a hat, as in x^, is a row of length 1.

Reference: Yeh et al., "Navigating Text-To-Image Customization", arXiv 2309.14859 (the LyCORIS evaluation framework).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def normalise(x: ArrayLike) -> Array:
    """The rows (n, d) divided by their lengths, in float64.

    Raises:
        ValueError: no rows, values that are not finite, or a row of zeros, which has no direction.
    """
    rows = np.asarray(x, np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError(
            f"expected finite features (n, d), found shape {rows.shape}: leave out images without features"
        )
    largest = np.abs(rows).max(axis=1, keepdims=True)  # first, so that squares neither overflow nor vanish
    if not largest.all():
        raise ValueError("expected features that are not zero, found a row of zeros: it has no direction")
    scaled = rows / largest
    unit: Array = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def cosine_fidelity(x: ArrayLike, y: ArrayLike) -> float:
    """How near two sets are: <mu_X, mu_Y>, mu the mean of the normalised rows; that is the mean of all cosines.

    Args:
        x: (n, d); y: (m, d).

    Returns:
        -1 to 1; higher is nearer.
    """
    return float(_centre(x) @ _centre(y))


def centroid_distance(x: ArrayLike, y: ArrayLike) -> float:
    """How far the centres of two sets are: ||mu_X - mu_Y||^2 = 2 - 2 <mu_X, mu_Y> - Var(X^) - Var(Y^).

    Unlike the cosine it is 0 for equal sets, however varied they are.

    Returns:
        0 to 4; lower is nearer.
    """
    difference = _centre(x) - _centre(y)
    return float(difference @ difference)


def paired_cosines(x: ArrayLike, y: ArrayLike) -> Array:
    """The cosine of each row of x (n, d) with the same row of y (n, d): (n,), -1 to 1."""
    a, b = normalise(x), normalise(y)
    if a.shape != b.shape:
        raise ValueError(f"expected as many rows and columns in both, found {a.shape} and {b.shape}")
    cosines: Array = np.einsum("nd,nd->n", a, b)
    return cosines


def mean_cosine(x: ArrayLike, y: ArrayLike) -> float:
    """The mean of `paired_cosines`: controllability, for images x and their prompts y."""
    return float(paired_cosines(x, y).mean())


def vendi(x: ArrayLike) -> float:
    """The effective number of different rows of (n, d): exp(-sum l log l), l the eigenvalues of K/n, K their cosines.

    Returns:
        1 (all equal) to n (all orthogonal); repeating the whole set changes nothing.

    Reference: Friedman and Dieng, "The Vendi Score", arXiv 2210.02410, equation 1.
    """
    rows = normalise(x)
    small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows  # the same eigenvalues that are not 0
    values = np.linalg.eigvalsh(small / len(rows))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))


def gram(maps: ArrayLike) -> Array:
    """Gram matrices G = F F^T / (C H W) of feature maps (n, c, h, w), F (C, H W): (n, c, c).

    Reference: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.
    """
    given = np.asarray(maps, np.float64)
    if given.ndim != 4 or not given.size:
        raise ValueError(f"expected feature maps (n, c, h, w), found shape {given.shape}")
    flat = given.reshape(*given.shape[:2], -1)
    matrices: Array = flat @ flat.transpose(0, 2, 1) / (flat.shape[1] * flat.shape[2])
    return matrices


def gram_loss(g: ArrayLike, h: ArrayLike) -> Array:
    """||G - H||_F^2 for each two of the matrices (.., c, c): (..,), 0 or more; lower is nearer."""
    difference = np.asarray(g, np.float64) - np.asarray(h, np.float64)
    losses: Array = np.square(difference).sum(axis=(-2, -1))
    return losses


def harmonic_mean(a: ArrayLike, b: ArrayLike) -> Array:
    """2 a b / (a + b), element by element; 0 where either is not positive: nothing makes up for a missing part."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    good = (first > 0) & (second > 0)
    sums = np.where(good, first + second, 1.0)
    mean: Array = np.where(good, 2 * first * second / sums, np.where(np.isnan(first + second), np.nan, 0.0))
    return mean


def rank_normalise(values: ArrayLike) -> Array:
    """Ranks of (n,) values from 0, the lowest, to 1, the highest: (n - rank)/(n - 1), rank 1 the highest.

    Ties share the mean of their ranks. Missing values, NaN, stay missing and are not counted; a single value has no
    rank: NaN. Whatever increases with the values leaves the result as it is. Negate what is better when lower.
    """
    given = np.asarray(values, np.float64)
    if given.ndim != 1:
        raise ValueError(f"expected values (n,), found shape {given.shape}")
    found, there = np.full(given.shape, np.nan), ~np.isnan(given)
    known = given[there]
    if len(known) > 1:
        below = (known[None] < known[:, None]).sum(1) + ((known[None] == known[:, None]).sum(1) - 1) / 2
        found[there] = below / (len(known) - 1)
    return found


def _centre(x: ArrayLike) -> Array:
    centre: Array = normalise(x).mean(axis=0)
    return centre
