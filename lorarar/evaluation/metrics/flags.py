"""Flags: images with faults that a similarity rewards, such as a copied reference or a missing style."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lorarar.evaluation.metrics.measures import normalise


def copy_threshold(sets: Iterable[ArrayLike]) -> float | None:
    """Return the cosine above which an image counts as a copy of a reference.

    The threshold is (1 + m) / 2. Here m is the median, over all concepts, of the highest cosine between two references
    of one concept. It therefore follows from the encoder and the references. A style with a single reference does not
    contribute to it.

    Args:
        sets: The features (n, d) of the references, one array per concept, contents and styles alike.

    Returns:
        The threshold; None where no concept has two references.
    """
    highest = [_highest_cosine(references) for references in map(np.asarray, sets) if len(references) > 1]
    return (1 + float(np.median(highest))) / 2 if highest else None


def flag_copies(images: ArrayLike, references: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Flag each image whose cosine with some reference is above a threshold.

    Args:
        images: Features (n, d).
        references: Features (m, d).
        threshold: A cosine, -1 to 1.

    Returns:
        Flags (n,).
    """
    flags: NDArray[np.bool_] = (normalise(images) @ normalise(references).T).max(axis=1) > threshold
    return flags


def flag_unstylised(images: ArrayLike, contents: ArrayLike, styles: ArrayLike) -> NDArray[np.bool_]:
    """Flag each image that is not closer to the style than the closest reference of its content is.

    Args:
        images: Features (n, d).
        contents: Features of the references of the content (m, d).
        styles: Features of the references of the style (k, d).

    Returns:
        Flags (n,).
    """
    centroid = normalise(styles).mean(axis=0)
    flags: NDArray[np.bool_] = normalise(images) @ centroid <= (normalise(contents) @ centroid).max()
    return flags


def _highest_cosine(references: ArrayLike) -> float:
    unit = normalise(references)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].max())
