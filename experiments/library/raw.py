"""Raw factors: A and B of all layers as one vector, reduced by PCA; the descriptor of the paper, as a baseline.

It depends on the factorisation: (B G) (G^-1 A) is the same LoRA with another vector. It compares LoRAs of one trainer,
one start and one rank. The paper corrects the drift of LoRAs outside the PCA by a calibration whose formula it does not
publish; here every vector is centred by the mean of its own set, which is the part that is known.

Reference: "A LoRA is Worth a Thousand Pictures", 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lorarar.library.fingerprints import Vector
from lorarar.lora import LoRA, LowRank


def raw_vector(lora: LoRA) -> Vector:
    """Return the factors of all layers, B flattened before A flattened, in the order of the layers' names.

    Raises:
        ValueError: A layer has no factors.
    """
    parts = []
    for path, layer in sorted(lora.layers.items()):
        if not isinstance(layer, LowRank):
            raise ValueError(f"expected factors A and B in every layer, found a dense delta at {path}: use a sketch")
        parts += [layer.scale * layer.B.float().flatten(), layer.A.float().flatten()]
    return torch.cat(parts).numpy()


def reduce_raw(vectors: Sequence[Vector], size: int) -> NDArray[np.float64]:
    """Return the leading principal components (n, size) of vectors of one length, centred by their mean.

    The eigenvectors of the n x n products give them without a covariance of the length of the vectors.
    """
    rows = np.stack(vectors)
    rows = rows - rows.mean(0)
    values, directions = np.linalg.eigh(rows @ rows.T)
    kept = np.argsort(-values)[:size]
    components: NDArray[np.float64] = directions[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    return components
