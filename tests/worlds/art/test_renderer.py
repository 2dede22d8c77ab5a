"""lorarar.worlds.art.renderer, .styles and .filters: deterministic, distinct, and no style erases a drawing."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from lorarar.worlds.art import renderer
from lorarar.worlds.art.catalogue import Drawing, all_drawings
from lorarar.worlds.art.filters.canvas import blur, grow
from lorarar.worlds.art.renderer import render
from lorarar.worlds.art.styles import ArtStyle, all_styles, plain_grounds

PALE, DARK = (next(d for d in all_drawings() if d.words == words) for words in ("blobby rabbit", "crisp telephone"))
VISIBLE = 0.12  # least difference of colour across an outline, of 1
SHARE = 0.5  # least share of the outline where it is that large; .65 is the lowest that was measured


@cache
def bands(drawing: Drawing) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """Bands inside the silhouette, at its rim and beyond, and the pixels of its outline."""
    inside = (renderer._place(drawing, 0)[1] > 0.5).astype(np.float32)
    wider = [1 - grow(1 - inside, 5), inside, grow(inside, 4), grow(inside, 9)]
    return [outer - inner for inner, outer in pairwise(wider)], wider[2] > inside


@cache
def canvas(drawing: Drawing, style: ArtStyle) -> NDArray[np.uint8]:
    """A render before its size is halved."""
    return render(drawing, style, 0, 128)


def visible_share(drawing: Drawing, style: ArtStyle) -> float:
    """Share of the outline across which the mean colours of two bands differ visibly."""
    rings, outline = bands(drawing)
    image = canvas(drawing, style).astype(np.float32) / 255
    means = [blur(image * ring[..., None], 4) / np.maximum(blur(ring, 4), 1e-4)[..., None] for ring in rings]
    steps = [np.abs(means[i] - means[j]).max(-1) for i, j in ((0, 1), (1, 2), (0, 2))]
    return float((np.maximum.reduce(steps)[outline] > VISIBLE).mean())


@pytest.mark.parametrize(
    ("drawing", "every"),
    [(DARK, 5), pytest.param(DARK, 1, marks=pytest.mark.slow), pytest.param(PALE, 1, marks=pytest.mark.slow)],
    ids=["dark, every fifth style", "dark", "pale"],
)
def test_no_style_erases_a_drawing(drawing: Drawing, every: int) -> None:
    shares = {style.words: visible_share(drawing, style) for style in all_styles()[::every]}
    assert {words: share for words, share in shares.items() if share < SHARE} == {}


def test_an_erased_drawing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    style, drawing = all_styles()[0], all_drawings()[0]  # no other test looks at this drawing
    monkeypatch.setitem(renderer.FILTERS, style.family, lambda picture, alpha, **colours: np.full_like(picture, 0.5))
    assert visible_share(drawing, style) < 0.05


def test_styles_differ_whatever_they_show() -> None:
    looks = {}
    for style in all_styles():
        image = canvas(DARK, style)[::4, ::4].astype(int)
        for other, known in looks.items():
            assert np.abs(image - known).mean() > 4, (style.words, other)
        looks[style.words] = image


def test_a_render_is_a_function_of_its_arguments() -> None:
    style = all_styles()[5]
    image = render(DARK, style, 7)
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    np.testing.assert_array_equal(image, render(DARK, style, 7))
    assert (image != render(DARK, style, 8)).any()
    halves = render(DARK, style, 7).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(render(DARK, style, 7, 32) - halves).max() <= 1


def test_a_plain_ground_surrounds_the_drawing() -> None:
    for ground in plain_grounds():
        image = render(PALE, ground, 0)
        code = renderer.GROUNDS[ground.variant]
        assert image[0, 0].tolist() == [int(code[i : i + 2], 16) for i in (1, 3, 5)]


def test_a_seed_moves_little() -> None:
    style = plain_grounds()[0]
    images = [render(DARK, style, seed).astype(int) for seed in range(4)]
    far = np.abs(images[0] - render(PALE, style, 0).astype(int)).mean()
    assert 0 < max(np.abs(images[0] - image).mean() for image in images[1:]) < far / 2
