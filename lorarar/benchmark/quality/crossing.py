"""Crossing: the contents and the styles of pairs as crossed factors, also where a concept has several LoRAs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lorarar.datasets import Concept, Pair
from lorarar.storage import ConfigError


def by_concept(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs with those of equal concepts together, contents varying slowest, both in order of appearance."""
    contents, styles = _levels([pair.content for pair in pairs]), _levels([pair.style for pair in pairs])
    order = sorted(range(len(pairs)), key=lambda i: (contents[i], styles[i]))
    return [pairs[i] for i in order]


def crossed_sizes(pairs: Sequence[Pair]) -> tuple[int, int]:
    """Return the numbers of contents and of styles.

    Raises:
        ConfigError: Not every content meets every style in equally many pairs.
    """
    contents, styles = _levels([pair.content for pair in pairs]), _levels([pair.style for pair in pairs])
    sizes = len(set(contents)), len(set(styles))
    counts = Counter(zip(contents, styles, strict=True))
    if len(counts) != sizes[0] * sizes[1] or len(set(counts.values())) > 1:
        raise ConfigError(
            f"expected {sizes[0]} contents that meet {sizes[1]} styles equally often, found {len(pairs)} pairs of "
            f"{len(counts)} combinations: set another `pairs_every`, or 1"
        )
    return sizes


def _levels(concepts: Sequence[Concept]) -> list[int]:
    """Return a number for each concept; concepts of the same reference images are one."""
    keys = [concept.images or (concept.name,) for concept in concepts]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]
