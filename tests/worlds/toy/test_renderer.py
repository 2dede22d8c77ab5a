"""lorarar.worlds.toy.renderer: deterministic everywhere, and every attribute can be seen."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lorarar.worlds.toy.attributes import ATTRIBUTES, CONTENT_ATTRIBUTES, Style, Subject
from lorarar.worlds.toy.renderer import render

KNOWN = "5e38fd8155aa67bc8a3665608cec67161f5474fc845addd4bb44ba55617b15cc"
CODE = """
import hashlib
from lorarar.worlds.toy.attributes import Style, Subject
from lorarar.worlds.toy.renderer import render
print(hashlib.sha256(render(Subject(0, 0, 0, 0), Style(4, 7, 3, 1), 5).tobytes()).hexdigest())
"""


def test_a_render_is_the_same_in_every_process() -> None:
    image = render(Subject(0, 0, 0, 0), Style(4, 7, 3, 1), 5)
    assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
    assert hashlib.sha256(image.tobytes()).hexdigest() == KNOWN
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == KNOWN


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize(
    ("subject", "style"),
    [(Subject(0, 0, 0, 0), Style(0, 0, 0, 0)), (Subject(5, 3, 4, 1), Style(3, 10, 2, 1))],
    ids=["plain", "rich"],
)
def test_every_value_of_an_attribute_can_be_seen(subject: Subject, style: Style, attribute: str) -> None:
    images = []
    for value in range(ATTRIBUTES[attribute]):
        if attribute in CONTENT_ATTRIBUTES:
            images.append(render(replace(subject, **{attribute: value}), style, 0))
        else:
            images.append(render(subject, replace(style, **{attribute: value}), 0))
    for i, a in enumerate(images):
        for b in images[:i]:
            assert (np.abs(a.astype(int) - b).max(axis=2) > 40).sum() >= 25  # pixels


def test_a_seed_moves_little() -> None:
    images = [render(Subject(1, 2, 3, 0), Style(1, 4, 1, 0), seed).astype(int) for seed in range(5)]
    assert all((a != b).any() for i, a in enumerate(images) for b in images[:i])
    other = render(Subject(2, 2, 3, 0), Style(1, 4, 1, 0), 0).astype(int)
    assert max(np.abs(images[0] - image).mean() for image in images[1:]) < np.abs(images[0] - other).mean()
