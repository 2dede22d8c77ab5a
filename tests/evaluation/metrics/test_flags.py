"""Two faults that similarities reward, reproduced on renders, and the flags for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.flags import copy_threshold, flag_copies, flag_unstylised
from lorarar.evaluation.metrics.measures import cosine_fidelity, harmonic_mean
from lorarar.worlds.toy.world import content_images, style_images
from tests.evaluation.metrics.toy import FAULTS, SPLIT

CONTENTS, STYLES, SEEDS = range(8), range(8), range(1)
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def encode() -> Callable[[list[NDArray[np.uint8]]], Array]:
    tower = load_encoder("tower")
    return lambda images: tower.encode_images([Image.fromarray(image) for image in images]).astype(np.float64)


@pytest.fixture(scope="module")
def scored(encode: Callable[[list[NDArray[np.uint8]]], Array]) -> dict[str, dict[str, float]]:
    """Return mean similarities and shares of flagged images by fault, over all validation pairs."""
    contents = [encode(content_images(SPLIT, c)) for c in CONTENTS]
    styles = [encode(style_images(SPLIT, s)) for s in STYLES]
    threshold = copy_threshold([*contents, *styles])
    assert threshold is not None
    results = {}
    for name, draw in FAULTS.items():
        rows = []
        for c in CONTENTS:
            for s in STYLES:
                x = encode([draw(c, s, seed) for seed in SEEDS])
                similar = cosine_fidelity(x, contents[c]), cosine_fidelity(x, styles[s])
                flags = (
                    flag_copies(x, styles[s], threshold),
                    flag_copies(x, contents[c], threshold),
                    flag_unstylised(x, contents[c], styles[s]),
                )
                rows.append([*similar, harmonic_mean(*similar), *(flag.mean() for flag in flags)])
        keys = ("content", "style", "harmonic", "content_leak", "copy", "unstylised")
        results[name] = dict(zip(keys, np.mean(rows, axis=0), strict=True))
    return results


def test_style_similarity_rewards_leaked_content(scored: dict[str, dict[str, float]]) -> None:
    assert scored["leaked"]["style"] > scored["right"]["style"] + 0.1
    assert scored["leaked"]["content_leak"] > 0.75
    assert scored["right"]["content_leak"] < 0.05


def test_content_similarity_rewards_no_style(scored: dict[str, dict[str, float]]) -> None:
    assert scored["unstylised"]["content"] > scored["right"]["content"] + 0.1
    assert scored["unstylised"]["unstylised"] > 0.7
    assert scored["right"]["unstylised"] < 0.05
    assert scored["unstylised"]["copy"] > 10 * scored["right"]["copy"] + 0.2


def test_the_harmonic_mean_rewards_neither(scored: dict[str, dict[str, float]]) -> None:
    assert scored["right"]["harmonic"] > max(scored["leaked"]["harmonic"], scored["unstylised"]["harmonic"]) + 0.1


def test_a_threshold_needs_two_references_of_a_concept() -> None:
    assert copy_threshold([]) is None
    assert copy_threshold([np.eye(3)[:1]]) is None
    assert copy_threshold([np.eye(3)[:2], np.eye(3)[:1]]) == pytest.approx(0.5)  # half-way from 0 to 1
    corner = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    assert copy_threshold([corner]) == pytest.approx(0.9)  # the nearest two have the cosine 0.8
    assert copy_threshold([corner, np.eye(2), np.eye(2)]) == pytest.approx(0.5)  # the median concept


def test_a_copy_is_near_to_one_reference() -> None:
    images = [[2.0, 0.1], [1.0, 1.0]]
    assert flag_copies(images, np.eye(2), 0.9).tolist() == [True, False]
    assert flag_copies(images, np.eye(2), 0.7).tolist() == [True, True]


def test_unstylised_is_measured_against_the_contents_own_references() -> None:
    style, contents = [[0.0, 1.0]], [[1.0, 0.0], [1.0, 0.5]]
    assert flag_unstylised([[1.0, 0.4], [1.0, 0.6], [0.0, 1.0]], contents, style).tolist() == [True, False, False]
