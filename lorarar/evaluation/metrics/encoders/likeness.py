"""Likeness: whether images are like those that an encoder was trained on, by the length of their features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.storage import atomic_write, package_path

TOWER_LIKENESS = package_path("evaluation", "metrics", "encoders", "tower_likeness.safetensors")


@dataclass(frozen=True, eq=False)
class Likeness:
    """The spread of an encoder's features on images of its training.

    An encoder places images that it recognises far from the mean, in the directions that it was trained to tell apart,
    and others nearer to the mean. With training features of mean mu, principal directions v_k and variances s_k, an
    image's length is ||diag(s^-1/4) V (x - mu)||. It is unlike the training images where this is below a limit.

    One image may be on the wrong side, see experiments/metrics; most images of a set are not.

    Attributes:
        mean: mu (d,).
        directions: s_k^-1/4 v_k (k, d).
        limit: The limit.
    """

    mean: FeatureArray
    directions: FeatureArray
    limit: float

    def lengths(self, rows: FeatureArray) -> NDArray[np.float64]:
        """Return the length of each row of features (n, d): (n,)."""
        lengths: NDArray[np.float64] = np.linalg.norm((rows - self.mean) @ self.directions.T.astype(np.float64), axis=1)
        return lengths

    def are_unlike(self, rows: FeatureArray) -> NDArray[np.bool_]:
        """Tell of each row of features (n, d) whether its image is unlike the training images: (n,)."""
        unlike: NDArray[np.bool_] = self.lengths(rows) < self.limit
        return unlike


def measure_likeness(rows: FeatureArray, count: int) -> Likeness:
    """Return the spread of training features (n, d) in their `count` main directions, with a limit of 0."""
    variances, directions = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
    scaled = (directions * variances**-0.25).T[::-1][:count]
    return Likeness(rows.mean(axis=0), scaled.astype(np.float32), 0.0)


def save_likeness(likeness: Likeness, path: Path) -> None:
    """Write the numbers as safetensors."""
    tensors = {"mean": likeness.mean, "directions": np.ascontiguousarray(likeness.directions)}
    with atomic_write(path, force=True) as temporary:
        save_file(tensors, temporary, metadata={"limit": f"{likeness.limit:.4g}"})


def load_likeness(path: Path) -> Likeness:
    """Read what `save_likeness` wrote."""
    with safe_open(path, framework="numpy") as file:
        return Likeness(file.get_tensor("mean"), file.get_tensor("directions"), float(file.metadata()["limit"]))
