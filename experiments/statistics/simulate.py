"""Simulates what the intervals cover and how often the paired tests cry wolf; writes results.json beside itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lorarar.evaluation.statistics import crossed_interval, incomplete_crossed_interval, sign_flip

SIZES = (5, 8, 20)
IMAGES = 10  # of a pair
REPEATS = 500
RESAMPLES = 500
FLIPS = 2000
# Standard deviations, on the logit scale, of a content's, a style's and a pair's effect on the chance of a right image.
WORLDS = {"images independent": (0.0, 0.0, 0.0), "pair effects": (0.0, 0.0, 1.2), "crossed effects": (0.8, 0.8, 0.4)}
# The same for what a method changes: content, style, pair. Its mean is 0 under the null hypothesis.
NULLS = {"same chances": (0.0, 0.0, 0.0), "pair interaction": (0.0, 0.0, 0.8), "crossed interaction": (0.5, 0.5, 0.3)}
Interval = Callable[[np.ndarray, int], tuple[float, float]]


def effects(random: np.random.Generator, size: int, deviations: tuple[float, float, float]) -> np.ndarray:
    """(size, size) sums of a content's, a style's and a pair's normal effect."""
    content, style, pair = deviations
    return (
        random.normal(0, content, (size, 1)) + random.normal(0, style, (1, size)) + random.normal(0, pair, (size, size))
    )


def chances(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def images(random: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """Right or wrong (contents, styles, images)."""
    return (random.random((*logits.shape, IMAGES)) < chances(logits)[..., None]).astype(float)


def population_mean(deviations: tuple[float, float, float], mean: float) -> float:
    """The share of right images over all contents and styles: the logits are normal, so a sum over their density."""
    grid = np.linspace(-8, 8, 4001)
    density = np.exp(-(grid**2) / 2)
    weight_jitter = float(np.sqrt(np.sum(np.square(deviations))))
    return float(chances(mean + weight_jitter * grid) @ density / density.sum())


def middle(means: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def by_images(values: np.ndarray, seed: int) -> tuple[float, float]:
    draws = np.random.default_rng(seed).multinomial(values.size, np.full(values.size, 1 / values.size), RESAMPLES)
    return middle(draws @ values.ravel() / values.size)


def by_pairs(values: np.ndarray, seed: int) -> tuple[float, float]:
    return by_images(values.mean(2), seed)


def crossed(values: np.ndarray, seed: int) -> tuple[float, float]:
    found = incomplete_crossed_interval(values, draw_seeds=False, resamples=RESAMPLES, seed=seed)
    return found.low, found.high


def crossed_with_seeds(values: np.ndarray, seed: int) -> tuple[float, float]:
    found = crossed_interval(values, resamples=RESAMPLES, seed=seed)
    return found.low, found.high


INTERVALS: dict[str, Interval] = {
    "images": by_images,
    "pairs": by_pairs,
    "crossed": crossed,
    "crossed with seeds": crossed_with_seeds,
}


def coverage(size: int, deviations: tuple[float, float, float]) -> dict[str, float]:
    """How often each nominal 95 % interval of a method's share of right images holds the population's."""
    random = np.random.default_rng(size)
    truth = population_mean(deviations, 0.5)
    held = dict.fromkeys(INTERVALS, 0)
    for repeat in range(REPEATS):
        values = images(random, 0.5 + effects(random, size, deviations))
        for name, interval in INTERVALS.items():
            low, high = interval(values, repeat)
            held[name] += low <= truth <= high
    return {name: count / REPEATS for name, count in held.items()}


def rejections(size: int, interaction: tuple[float, float, float], gain: float) -> dict[str, float]:
    """How often two methods are told apart at the 5 % level, by test; ``gain`` (logits) is the second's advantage."""
    random = np.random.default_rng(size)
    contents, styles = np.indices((size, size)).reshape(2, -1)
    found: dict[str, int] = {}
    for repeat in range(REPEATS):
        shared = 0.5 + effects(random, size, WORLDS["crossed effects"])
        changes = [effects(random, size, interaction) / np.sqrt(2) for _ in range(2)]
        first, second = (images(random, shared + change + g) for change, g in zip(changes, (0, gain), strict=True))
        pairs = (second - first).mean(2).ravel()
        p = {
            "pairs": sign_flip(pairs, draws=FLIPS, seed=repeat),
            "contents": sign_flip(pairs, list(contents), draws=FLIPS, seed=repeat),
            "styles": sign_flip(pairs, list(styles), draws=FLIPS, seed=repeat),
        }
        low, high = crossed(second - first, repeat)
        apart = {name: value < 0.05 for name, value in p.items()}
        apart["contents and styles"] = apart["contents"] and apart["styles"]
        apart["crossed interval"] = low > 0 or high < 0
        low, high = crossed_with_seeds(second - first, repeat)
        apart["crossed interval with seeds"] = low > 0 or high < 0
        apart["pairs and crossed interval"] = apart["pairs"] and apart["crossed interval"]
        for name, value in apart.items():
            found[name] = found.get(name, 0) + value
    return {name: count / REPEATS for name, count in found.items()}


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
