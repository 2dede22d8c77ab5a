"""Simulation of the coverage of the intervals and the errors of the paired tests; writes results.json beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lorarar.evaluation.statistics import crossed_interval, incomplete_crossed_interval, sign_flip

SIZES = (5, 8, 20)
IMAGES = 10  # per pair
REPEATS = 500
RESAMPLES = 500
FLIPS = 2000
# Standard deviations (content, style, pair) of the effects on the probability of a right image, on the logit scale.
WORLDS = {"images independent": (0.0, 0.0, 0.0), "pair effects": (0.0, 0.0, 1.2), "crossed effects": (0.8, 0.8, 0.4)}
# The same for the change by a method. The mean change is 0 under the null hypothesis.
NULLS = {"same chances": (0.0, 0.0, 0.0), "pair interaction": (0.0, 0.0, 0.8), "crossed interaction": (0.5, 0.5, 0.3)}
Interval = Callable[[np.ndarray, int], tuple[float, float]]


def effects(random: np.random.Generator, size: int, deviations: tuple[float, float, float]) -> np.ndarray:
    """Draw the sums (size, size) of normal effects of contents, styles and pairs."""
    content, style, pair = deviations
    return (
        random.normal(0, content, (size, 1)) + random.normal(0, style, (1, size)) + random.normal(0, pair, (size, size))
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def images(random: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """Draw right (1) or wrong (0) images (contents, styles, images)."""
    return (random.random((*logits.shape, IMAGES)) < probabilities(logits)[..., None]).astype(float)


def population_mean(deviations: tuple[float, float, float], mean: float) -> float:
    """Return the share of right images over all contents and styles, by integration over the normal logits."""
    grid = np.linspace(-8, 8, 4001)
    density = np.exp(-(grid**2) / 2)
    deviation = float(np.sqrt(np.sum(np.square(deviations))))
    return float(probabilities(mean + deviation * grid) @ density / density.sum())


def percentile_bounds(means: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def by_images(values: np.ndarray, seed: int) -> tuple[float, float]:
    draws = np.random.default_rng(seed).multinomial(values.size, np.full(values.size, 1 / values.size), RESAMPLES)
    return percentile_bounds(draws @ values.ravel() / values.size)


def by_pairs(values: np.ndarray, seed: int) -> tuple[float, float]:
    return by_images(values.mean(2), seed)


def crossed(values: np.ndarray, seed: int) -> tuple[float, float]:
    estimate = incomplete_crossed_interval(values, draw_seeds=False, resamples=RESAMPLES, seed=seed)
    return estimate.low, estimate.high


def crossed_with_seeds(values: np.ndarray, seed: int) -> tuple[float, float]:
    estimate = crossed_interval(values, resamples=RESAMPLES, seed=seed)
    return estimate.low, estimate.high


INTERVALS: dict[str, Interval] = {
    "images": by_images,
    "pairs": by_pairs,
    "crossed": crossed,
    "crossed with seeds": crossed_with_seeds,
}


def coverage(size: int, deviations: tuple[float, float, float]) -> dict[str, float]:
    """Return how often each nominal 95 % interval of the share of right images covers the population value."""
    random = np.random.default_rng(size)
    truth = population_mean(deviations, 0.5)
    covered = dict.fromkeys(INTERVALS, 0)
    for repeat in range(REPEATS):
        values = images(random, 0.5 + effects(random, size, deviations))
        for name, interval in INTERVALS.items():
            low, high = interval(values, repeat)
            covered[name] += low <= truth <= high
    return {name: count / REPEATS for name, count in covered.items()}


def rejections(size: int, interaction: tuple[float, float, float], gain: float) -> dict[str, float]:
    """Return, by test, how often two methods differ at the 5 % level.

    Args:
        size: Number of contents, and of styles.
        interaction: Standard deviations (content, style, pair) of the change by a method, on the logit scale.
        gain: Advantage of the second method, on the logit scale.
    """
    random = np.random.default_rng(size)
    contents, styles = np.indices((size, size)).reshape(2, -1)
    rejected: dict[str, int] = {}
    for repeat in range(REPEATS):
        shared = 0.5 + effects(random, size, WORLDS["crossed effects"])
        changes = [effects(random, size, interaction) / np.sqrt(2) for _ in range(2)]
        first, second = (images(random, shared + change + g) for change, g in zip(changes, (0, gain), strict=True))
        pairs = (second - first).mean(2).ravel()
        p = {
            "pairs": sign_flip(pairs, draws=FLIPS, seed=repeat).p,
            "contents": sign_flip(pairs, list(contents), draws=FLIPS, seed=repeat).p,
            "styles": sign_flip(pairs, list(styles), draws=FLIPS, seed=repeat).p,
        }
        low, high = crossed(second - first, repeat)
        differs = {name: value < 0.05 for name, value in p.items()}
        differs["contents and styles"] = differs["contents"] and differs["styles"]
        differs["crossed interval"] = low > 0 or high < 0
        low, high = crossed_with_seeds(second - first, repeat)
        differs["crossed interval with seeds"] = low > 0 or high < 0
        differs["pairs and crossed interval"] = differs["pairs"] and differs["crossed interval"]
        for name, value in differs.items():
            rejected[name] = rejected.get(name, 0) + value
    return {name: count / REPEATS for name, count in rejected.items()}


def main() -> None:
    record = {
        "images_of_a_pair": IMAGES,
        "repeats": REPEATS,
        "resamples": RESAMPLES,
        "coverage": {
            world: {f"{size}x{size}": coverage(size, deviations) for size in SIZES}
            for world, deviations in WORLDS.items()
        },
        "size": {
            null: {f"{size}x{size}": rejections(size, interaction, 0.0) for size in SIZES}
            for null, interaction in NULLS.items()
        },
        "power": {
            null: {f"{size}x{size}": rejections(size, interaction, 0.6) for size in SIZES}
            for null, interaction in NULLS.items()
        },
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
