"""Renderer: a drawing in a style, deterministic from a seed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.worlds.art.atlas import SIDE, drawing_pixels
from lorarar.worlds.art.catalogue import Drawing
from lorarar.worlds.art.filters import along_both, clip, flat, mix
from lorarar.worlds.art.styles import FILTERS, GROUNDS, PLAIN, ArtStyle, style_colours

SIZE = 64  # pixels of an image


def render(drawing: Drawing, style: ArtStyle, seed: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Return an image of a drawing in a style, (size, size, 3), 0 to 255.

    The seed moves the drawing by up to 3 of 128 pixels and changes its size by up to 4 %; nothing else is random.

    Args:
        drawing: What the image shows.
        style: How it shows it.
        seed: Seed of the place and the size.
        size: Side of the image in pixels, a divisor of 128.
    """
    picture, alpha = _place(drawing, seed)
    if style.family == PLAIN:
        canvas = mix(flat(GROUNDS[style.variant]), picture, alpha)
    else:
        canvas = FILTERS[style.family](picture, alpha, **style_colours(style))
    step = SIDE // size
    pixels = canvas.reshape(size, step, size, step, 3).mean(axis=(1, 3))
    rounded: NDArray[np.uint8] = np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8)
    return rounded


def _place(drawing: Drawing, seed: int) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Return the colours (128, 128, 3) and alpha (128, 128) of a drawing, moved and scaled by a seed."""
    random = np.random.default_rng(seed)
    scale = 1 + random.uniform(-0.04, 0.04)
    down, right = random.uniform(-3, 3, 2)
    moved = clip(along_both(_resampling(scale, down), _weighted(drawing), _resampling(scale, right)))
    alpha = moved[..., 3]
    colours = clip(moved[..., :3] / np.maximum(alpha, 0.02)[..., None])
    return colours * (alpha > 0.02)[..., None], alpha


@lru_cache(maxsize=512)
def _weighted(drawing: Drawing) -> NDArray[np.floating[Any]]:
    """Return a drawing (128, 128, 4), 0 to 1, its colours multiplied by its alpha."""
    pixels = drawing_pixels(drawing).astype(np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    return pixels


def _resampling(scale: float, offset: float) -> NDArray[np.floating[Any]]:
    """Return the matrix (128, 128) that scales an axis about its centre and moves it, by linear interpolation."""
    centre = (SIDE - 1) / 2
    source = (np.arange(SIDE) - centre - offset) / scale + centre
    distances = np.abs(source[:, None] - np.arange(SIDE))
    weights: NDArray[np.floating[Any]] = np.maximum(1 - distances, 0).astype(np.float32)
    return weights
