"""Methods of intervals that were compared: each takes scores (runs, contents, styles, seeds) and returns the bounds.

`adopted` is the library's; the others are written for many runs at once.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from lorarar.evaluation.statistics import crossed_interval
from lorarar.evaluation.statistics.intervals import student_quantile

RESAMPLES = 500
FREEDOMS = np.geomspace(1, 1000, 300)
QUANTILES = np.array([student_quantile(float(each)) for each in FREEDOMS])
NORMAL = NormalDist()
Bounds = tuple[np.ndarray, np.ndarray]


def sum_t(scores: np.ndarray) -> Bounds:
    """t interval with the sum of the factors' variances."""
    factors = of_factors(scores)
    return t_bounds(scores.mean((1, 2, 3)), sum(factors), freedoms(factors, scores.shape), shares=False)


def adopted(scores: np.ndarray, *, shares: bool) -> Bounds:
    estimates = [crossed_interval(run, shares=shares) for run in scores]
    return np.array([each.low for each in estimates]), np.array([each.high for each in estimates])


def counts(size: int) -> np.ndarray:
    """Draw how often each of `size` levels is drawn with replacement (resamples, size)."""
    return np.random.default_rng(size).multinomial(size, np.full(size, 1 / size), RESAMPLES)


def resampled(scores: np.ndarray, *, seeds: bool) -> np.ndarray:
    """Return the means (runs, resamples) of a crossed bootstrap, the same draws for every run."""
    if not seeds:
        scores = scores.mean(3, keepdims=True)
    contents, styles, slots = (counts(size) / size for size in scores.shape[1:])
    weights = np.einsum("rc,rs,rt->rcst", contents, styles, slots)
    return scores.reshape(len(scores), -1) @ weights.reshape(RESAMPLES, -1).T


def percentile(scores: np.ndarray, *, seeds: bool) -> Bounds:
    low, high = np.quantile(resampled(scores, seeds=seeds), [0.025, 0.975], axis=1)
    return low, high


def deviations(scores: np.ndarray) -> list[np.ndarray]:
    """Return, for each factor of several levels, the deviations (runs, levels) of its levels from the mean."""
    factors = []
    for axis in (1, 2, 3):
        if scores.shape[axis] > 1:
            means = scores.mean(tuple(other for other in (1, 2, 3) if other != axis))
            factors.append(means - means.mean(1, keepdims=True))
    return factors


def of_factors(scores: np.ndarray) -> list[np.ndarray]:
    """Return the squared standard errors (runs,) of the factors."""
    return [(each**2).sum(1) / (each.shape[1] * (each.shape[1] - 1)) for each in deviations(scores)]


def bca(scores: np.ndarray) -> Bounds:
    """Efron's bias-corrected and accelerated bootstrap of contents, styles and seeds."""
    means, mean = np.sort(resampled(scores, seeds=True), axis=1), scores.mean((1, 2, 3))[:, None]
    below = (means < mean).mean(1) + (means == mean).mean(1) / 2
    bias = np.array([NORMAL.inv_cdf(float(share)) for share in np.clip(below, 0.001, 0.999)])
    third = sum(((each / each.shape[1]) ** 3).sum(1) for each in deviations(scores))
    second = sum(((each / each.shape[1]) ** 2).sum(1) for each in deviations(scores))
    acceleration = third / np.maximum(second, 1e-100) ** 1.5 / 6
    bounds = []
    for z in (NORMAL.inv_cdf(0.025), NORMAL.inv_cdf(0.975)):
        shifted = bias + (bias + z) / (1 - acceleration * (bias + z))
        ranks = [round(NORMAL.cdf(float(each)) * (RESAMPLES - 1)) for each in shifted]
        bounds.append(means[np.arange(len(means)), ranks])
    return bounds[0], bounds[1]


def bootstrap_t(scores: np.ndarray) -> Bounds:
    """Studentised crossed bootstrap, with the sum of the factors' variances in each resample."""
    drawn = [counts(size) for size in scores.shape[1:]]
    contents, styles, slots = (each / each.shape[1] for each in drawn)
    levels = (
        np.einsum("ncst,rs,rt->nrc", scores, styles, slots, optimize=True),
        np.einsum("ncst,rc,rt->nrs", scores, contents, slots, optimize=True),
        np.einsum("ncst,rc,rs->nrt", scores, contents, styles, optimize=True),
    )
    means = np.einsum("nrc,rc->nr", levels[0], contents)
    variance = np.zeros_like(means)
    for each, times in zip(levels, drawn, strict=True):
        size = times.shape[1]
        if size > 1:
            variance += np.einsum("nrl,rl->nr", (each - means[..., None]) ** 2, times) / (size * (size - 1))
    mean, error = scores.mean((1, 2, 3)), np.sqrt(sum(of_factors(scores)))
    ratios = (means - mean[:, None]) / np.sqrt(np.maximum(variance, 1e-12))
    low, high = np.quantile(ratios, [0.025, 0.975], axis=1)
    return mean - high * error, mean - low * error


def unbiased_t(scores: np.ndarray, *, shares: bool) -> Bounds:
    """t interval with the unbiased variance of a crossed design, at least that of each factor alone.

    V = (V_c + V_s + V_t - V_cs - V_ct - V_st + V_cst) / product of (1 - 1 / levels), where V_A is the sum over the
    clusters of A of (sum of the deviations / number of scores)^2.
    """
    scores = scores if scores.shape[3] > 1 else scores[..., 0]
    axes = tuple(range(1, scores.ndim))
    mean = scores.mean(axes)
    rest = (scores - mean.reshape(-1, *[1] * len(axes))) / scores[0].size
    total = np.zeros(len(scores))
    for code in range(1, 2 ** len(axes)):
        summed = tuple(axis for axis in axes if not code >> (axis - 1) & 1)
        clusters = rest.sum(summed) if summed else rest
        total -= (-1) ** bin(code).count("1") * (clusters**2).reshape(len(scores), -1).sum(1)
    total /= np.prod([1 - 1 / size for size in scores.shape[1:]])
    factors = of_factors(scores.reshape(*scores.shape, *[1] * (4 - scores.ndim)))
    variance = np.maximum.reduce([total, *factors])
    return t_bounds(mean, variance, freedoms(factors, scores.shape), shares=shares)


def freedoms(factors: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    levels = [size for size in shape[1:] if size > 1]
    below = sum(each**2 / (size - 1) for each, size in zip(factors, levels, strict=True))
    return np.maximum(sum(factors) ** 2 / np.maximum(below, 1e-300), 1)


def t_bounds(mean: np.ndarray, variance: np.ndarray, freedom: np.ndarray, *, shares: bool) -> Bounds:
    half = np.interp(freedom, FREEDOMS, QUANTILES) * np.sqrt(variance)
    if not shares:
        return mean - half, mean + half
    inner = np.clip(mean, 1e-9, 1 - 1e-9)
    logit, half = np.log(inner / (1 - inner)), half / (inner * (1 - inner))
    return (1 + np.tanh((logit - half) / 2)) / 2, (1 + np.tanh((logit + half) / 2)) / 2
