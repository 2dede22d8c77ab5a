"""Flags for what similarities alone reward: a copied reference, leaked style content, a style that was not applied."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lorarar.evaluation.metrics.measures import normalise


def copy_threshold(sets: Iterable[ArrayLike]) -> float | None:
    """The cosine above which an image counts as a copy of a reference.

    It lies half-way between 1 and how near two references of one concept come to each other: the median, over the
    concepts, of their nearest two. So it follows from the encoder and the references, and is no number set by hand.
    Styles with a single reference borrow it from the contents.

    Args:
        sets: for each concept, contents and styles, its references' features (n, d).

    Returns:
        None where no concept has two references.
    """
    nearest = [_nearest_two(references) for references in map(np.asarray, sets) if len(references) > 1]
    return (1 + float(np.median(nearest))) / 2 if nearest else None


def flag_copies(images: ArrayLike, references: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Whether each image (n, d) is nearer to some reference (m, d) than a threshold: (n,)."""
    flags: NDArray[np.bool_] = (normalise(images) @ normalise(references).T).max(axis=1) > threshold
    return flags


def flag_unstylised(images: ArrayLike, contents: ArrayLike, styles: ArrayLike) -> NDArray[np.bool_]:
    """Whether each image (n, d) is no nearer to the style than some untouched reference of its content: (n,).

    Args:
        contents: features (m, d) of the content's references; styles: (k, d) of the style's.
    """
    centre = normalise(styles).mean(axis=0)
    flags: NDArray[np.bool_] = normalise(images) @ centre <= (normalise(contents) @ centre).max()
    return flags


def _nearest_two(references: ArrayLike) -> float:
    unit = normalise(references)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].max())
