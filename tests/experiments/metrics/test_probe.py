"""The diversity-ratio probe, on features for which the answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from probe import DIVERSITIES, Array, dissimilarity, diversity_ratio, probe, variance

from lorarar.evaluation.metrics.measures import vendi

CROSSED = list(itertools.product(range(5), range(4), range(3)))
CONTENTS, STYLES = ([f"{letter}{cell[axis]}" for cell in CROSSED] for axis, letter in ((0, "c"), (1, "s")))


def features(content: float, style: float, noise: float = 0.3) -> Array:
    """Return rows with a direction per content and per style, of the given strengths, and noise."""
    random = np.random.default_rng(0)
    of_content, of_style = random.normal(size=(5, 24)), random.normal(size=(4, 24))
    rows = [content * of_content[c] + style * of_style[s] for c, s, _ in CROSSED]
    return np.asarray(rows) + noise * random.normal(size=(len(CROSSED), 24))


@pytest.mark.parametrize(
    ("content", "style", "verdict"), [(1, 0, "content"), (0, 1, "style"), (1, 1, "both"), (0, 0, "neither")]
)
def test_the_verdict_is_what_the_features_hold(content: float, style: float, verdict: str) -> None:
    probed = probe(features(content, style), CONTENTS, STYLES)
    assert probed.verdict == verdict
    assert {probed.leaning(name) for name in DIVERSITIES} == {verdict}


def test_variance_ratio_is_the_analysis_of_variances() -> None:
    rows = features(1, 0.4)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    members = [rows[np.asarray(CONTENTS) == name] for name in sorted(set(CONTENTS))]
    within = sum(float(np.square(m - m.mean(0)).sum()) for m in members)
    total = float(np.square(rows - rows.mean(0)).sum())
    ratio = diversity_ratio(rows, CONTENTS, "variance", draws=400)
    assert_allclose(ratio.value, within / total)
    assert_allclose(ratio.chance, (60 - 5) / (60 - 1), atol=0.005)  # the expectation under random labels
    assert ratio.p == pytest.approx(1 / 401)


def test_diversities_of_simple_sets() -> None:
    equal, orthogonal = np.ones((4, 3)), np.eye(4)
    assert_allclose([measure(equal) for measure in DIVERSITIES.values()], [1, 0, 0], atol=1e-9)
    assert_allclose([measure(orthogonal) for measure in DIVERSITIES.values()], [4, 1, 0.75])
    assert math.isnan(dissimilarity(np.ones((1, 3))))
    rows = features(1, 1)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    assert_allclose(dissimilarity(rows), 1 - cosines.mean())
    assert_allclose(variance(rows), unit.var(0).sum())


def test_classes_of_equal_images_are_fully_seen_and_random_ones_not() -> None:
    rows = np.repeat(np.eye(5), 12, axis=0)
    for name in DIVERSITIES:
        ratio = diversity_ratio(rows, CONTENTS, name)
        assert ratio.value == pytest.approx(ratio.floor, abs=1e-9)
        assert ratio.seen == pytest.approx(1)
        shuffled = diversity_ratio(rows, list(np.random.default_rng(1).permutation(CONTENTS)), name)
        assert abs(shuffled.seen) < 0.15
    assert diversity_ratio(rows, CONTENTS, "vendi").floor == pytest.approx(1 / vendi(rows))


@pytest.mark.parametrize(
    ("rows", "classes", "message"),
    [
        (np.eye(4), ["a"] * 4, "at least two classes"),
        (np.eye(4), ["a", "a", "a", "b"], "at least two images each"),
        (np.eye(4), ["a", "a", "b"], "at least two classes"),
        (np.ones((4, 2)), ["a", "a", "b", "b"], "equal features"),
    ],
)
def test_images_that_cannot_be_probed_are_refused(rows: Array, classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diversity_ratio(rows, classes, "variance")


def test_contents_and_styles_must_be_crossed() -> None:
    with pytest.raises(ValueError, match="2 contents, 2 styles and 2 pairs"):
        probe(np.eye(4), ["a", "a", "b", "b"], ["x", "x", "y", "y"])
