"""Simulation of the coverage of intervals, and of the errors of tests, for crossed scores; writes results.json."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from methods import Bounds, adopted, bca, bootstrap_t, percentile, sum_t, unbiased_t

RUNS = 600
FLIPS = 999
SEED = 0
VOTES = 4  # an axis is scored in quarters; a score is the smaller of two axes
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)  # of the integral over a normal logit
Effects = tuple[float, float, float, float]  # standard deviations of contents, styles, seeds and pairs, as logits
WORLDS: dict[str, Effects] = {
    "none": (0, 0, 0, 0),
    "pairs": (0, 0, 0, 1.2),
    "contents, styles": (1.2, 1.2, 0, 0.8),
    "strong styles": (0.8, 1.8, 0, 0.5),
    "weak seeds too": (1.2, 1.2, 0.5, 0.8),
    "strong seeds": (0.8, 0.8, 1.5, 0.5),
}
SHARED: Effects = (1.0, 1.2, 0.2, 0.5)  # what two compared methods have in common
OWN: dict[str, Effects] = {
    "none": (0, 0, 0, 0),
    "pairs": (0, 0, 0, 0.8),
    "contents, styles": (0.5, 0.5, 0, 0.3),
    "strong contents, styles": (1.3, 1.3, 0.2, 0.3),
    "seeds": (0.3, 0.3, 0.5, 0.3),
    "strong seeds": (0.3, 0.3, 1.0, 0.3),
}
DESIGNS = ((5, 5, 1), (5, 5, 4), (5, 5, 10), (8, 8, 1), (8, 8, 2), (8, 8, 4), (20, 20, 4))
MEANS = (0.6, 0.85, 0.93, 0.97, 0.99)
PAIRED_DESIGNS = ((5, 5, 4), (8, 8, 1), (8, 8, 4), (20, 20, 4))
PAIRED_MEANS = (0.8, 0.93)
GAINS = (0.0, 1.0)  # of the second method, as logits
INTERVALS: dict[str, Callable[[np.ndarray], Bounds]] = {
    "percentile, contents x styles": lambda scores: percentile(scores, seeds=False),
    "percentile, and seeds": lambda scores: percentile(scores, seeds=True),
    "BCa": bca,
    "bootstrap-t": bootstrap_t,
    "unbiased variance, t": lambda scores: unbiased_t(scores, shares=False),
    "sum of factors, t": sum_t,
}
OF_SHARES = {
    **INTERVALS,
    "unbiased variance, logit t": lambda scores: unbiased_t(scores, shares=True),
    "adopted": lambda scores: adopted(scores, shares=True),
}
OF_DIFFERENCES = {**INTERVALS, "adopted": lambda scores: adopted(scores, shares=False)}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(logits / 2)) / 2


def population_mean(logit: float, effects: Effects) -> float:
    """Return the mean of the smaller of two independent axes over all contents, styles and seeds."""
    right = sigmoid(logit + np.sqrt(np.sum(np.square(effects))) * NODES)
    chances = [comb(VOTES, k) * right**k * (1 - right) ** (VOTES - k) @ WEIGHTS / WEIGHTS.sum() for k in range(5)]
    at_least = np.cumsum(chances[::-1])[::-1][1:]
    return float((at_least**2).sum() / VOTES)


def solve(mean: float, effects: Effects) -> float:
    """Return the logit at which `population_mean` is `mean`."""
    low, high = -5.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if population_mean(middle, effects) < mean else (low, middle)
    return low


def draw(random: np.random.Generator, design: tuple[int, int, int], effects: Effects) -> np.ndarray:
    """Draw the sums of normal effects (runs, contents, styles, seeds)."""
    contents, styles, seeds = design
    shapes = ((contents, 1, 1), (1, styles, 1), (1, 1, seeds), (contents, styles, 1))
    parts = [sd * random.normal(size=(RUNS, *shape)) for sd, shape in zip(effects, shapes, strict=True)]
    return sum(parts) + np.zeros((RUNS, *design))


def score(random: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    return random.binomial(VOTES, sigmoid(logits)) / VOTES


def covers(bounds: Bounds, value: float) -> np.ndarray:
    return (bounds[0] <= value + 1e-9) & (bounds[1] >= value - 1e-9)


def coverage(design: tuple[int, int, int], mean: float, effects: Effects) -> dict[str, Any]:
    """Return, by method, how often the interval of a mean covers it, and the median width."""
    random = np.random.default_rng(SEED)
    logit = solve(mean, effects)
    axes = [score(random, logit + draw(random, design, effects)) for _ in range(2)]
    results = {}
    for name, interval in OF_SHARES.items():
        bounds = interval(np.minimum(*axes))
        results[name] = {"coverage": covers(bounds, mean).mean(), "width": np.median(bounds[1] - bounds[0])}
    return results


def comparison(design: tuple[int, int, int], mean: float, own: Effects, gain: float) -> dict[str, Any]:
    """Return, by method, how often the interval of a difference covers it and excludes 0, and the median width.

    "sign flips": how often the test on pairs rejects at 5 %; "both": the rule for "differs" before Holm's correction.
    """
    random = np.random.default_rng(SEED)
    effects: Effects = tuple(np.hypot(SHARED, own))  # type: ignore[assignment]
    logit = solve(mean, effects)
    scores = np.ones((2, RUNS, *design))
    for _ in range(2):
        shared = logit + draw(random, design, SHARED)
        for method in range(2):
            logits = shared + draw(random, design, own) + method * gain
            scores[method] = np.minimum(scores[method], score(random, logits))
    differences, truth = scores[1] - scores[0], population_mean(logit + gain, effects) - mean
    flipped = flips(differences.mean(3).reshape(RUNS, -1)) < 0.05
    results: dict[str, Any] = {"truth": truth, "sign flips": flipped.mean()}
    for name, interval in OF_DIFFERENCES.items():
        bounds = interval(differences)
        excludes = (bounds[0] > 1e-9) | (bounds[1] < -1e-9)
        results[name] = {
            "coverage": covers(bounds, truth).mean(),
            "excludes 0": excludes.mean(),
            "both": (excludes & flipped).mean(),
            "width": np.median(bounds[1] - bounds[0]),
        }
    return results


def flips(pairs: np.ndarray) -> np.ndarray:
    """Return the p-values (runs,) of the sign-flip test by random patterns, the same for every run."""
    signs = np.random.default_rng(SEED).integers(0, 2, (pairs.shape[1], FLIPS)) * 2.0 - 1
    return (1 + (np.abs(pairs @ signs) >= np.abs(pairs.sum(1))[:, None] - 1e-9).sum(1)) / (1 + FLIPS)


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return round(float(value), 3)


def label(design: tuple[int, int, int]) -> str:
    return "x".join(map(str, design))


def main() -> None:
    start = time.process_time()
    record = {
        "runs": RUNS,
        "seed": SEED,
        "coverage": {
            label(design): {
                f"{mean:g}": {name: rounded(coverage(design, mean, effects)) for name, effects in WORLDS.items()}
                for mean in MEANS
            }
            for design in DESIGNS
        },
        "differences": {
            label(design): {
                f"{mean:g}": {
                    f"{gain:g}": {name: rounded(comparison(design, mean, own, gain)) for name, own in OWN.items()}
                    for gain in GAINS
                }
                for mean in PAIRED_MEANS
            }
            for design in PAIRED_DESIGNS
        },
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
