"""Scores of images and pairs: each value equals its measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.protocols import MapEncoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement
from lorarar.evaluation.metrics.features import gram_vectors
from lorarar.evaluation.metrics.measures import centroid_distance, cosine_fidelity, harmonic_mean, normalise, vendi
from lorarar.evaluation.metrics.table import METRICS
from tests.evaluation.metrics.hash_encoder import HashEncoder


def pair(items: list[Item], method: str) -> list[Item]:
    """Return the items of the first pair of a method."""
    first = next(item for item in items if item.method == method)
    return [i for i in items if (i.method, i.content, i.style) == (method, first.content, first.style)]


def images(root: Path, paths: list[str]) -> list[Image.Image]:
    return [Image.open(root / path).convert("RGB") for path in paths]


def test_each_value_equals_its_measure(
    toy_folder: Path, references: References, items: list[Item], encoders: Encoders, measurement: Measurement
) -> None:
    chosen, base = pair(items, "right"), pair(items, "base")
    shown = images(toy_folder / "images", [item.path for item in chosen])
    content, style = (
        images(toy_folder / "references", list(references.concepts[axis, name].images))  # type: ignore[index]
        for axis, name in (("content", chosen[0].content), ("style", chosen[0].style))
    )
    tower, pixels, hashes = encoders.content, encoders.style, encoders.text
    assert isinstance(tower, MapEncoder)
    assert isinstance(hashes, HashEncoder)
    x, y, s, t = (e.encode_images(i) for e, i in ((tower, shown), (tower, content), (pixels, shown), (pixels, style)))
    grams, of_style, bases = (
        gram_vectors(tower, given).astype(float)
        for given in (shown, style, images(toy_folder / "images", [item.path for item in base]))
    )
    text = hashes.encode_texts(["a cat"] * len(chosen))  # the prompt without triggers
    expected = {
        "content_cosine": cosine_fidelity(x, y),
        "content_centroid": centroid_distance(x, y),
        "style_cosine": cosine_fidelity(s, t),
        "style_centroid": centroid_distance(s, t),
        "style_gram": np.mean([((g - r) ** 2).sum() for g in grams for r in of_style]),
        "harmonic": np.mean(
            [harmonic_mean(cosine_fidelity([a], y), cosine_fidelity([b], t)) for a, b in zip(x, s, strict=True)]
        ),
        "controllability": (normalise(hashes.encode_images(shown)) * normalise(text)).sum(1).mean(),
        "diversity": vendi(x),
        "base_preservation": ((grams - bases) ** 2).sum(1).mean(),
    }
    pair_scores = next(
        p for p in measurement.pairs if (p.method, p.content, p.style) == ("right", chosen[0].content, chosen[0].style)
    )
    assert pair_scores.values == pytest.approx(expected, rel=1e-5)
    assert set(expected) == set(METRICS)
