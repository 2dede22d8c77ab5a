"""Renderer: a subject in a style, 32 x 32 pixels, deterministic from a seed."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lorarar.worlds.toy.attributes import (
    CATEGORIES,
    HUES,
    MARK_COLOURS,
    MARKS,
    OUTLINES,
    PATTERNS,
    SHADINGS,
    TONES,
    Style,
    Subject,
)

SIZE = 32  # pixels
_FINE = 3  # the canvas has 3 times the size and is averaged at the end, so that edges are smooth
_CANVAS = SIZE * _FINE
_GRID = (np.arange(_CANVAS) + 0.5) / _CANVAS * 2 - 1  # unit coordinates, -1 to 1
_OUTLINE = round(1.4 * _FINE)  # width of an outline in fine pixels

RenderedImage = NDArray[np.uint8]  # (32, 32, 3), 0 to 255
Colour = tuple[float, float, float]
Plane = NDArray[np.float64]
Points = list[tuple[float, float]]


def render(subject: Subject, style: Style, seed: int) -> RenderedImage:
    """Return an image of a subject in a style, (32, 32, 3), 0 to 255.

    The seed moves the subject by up to 1 pixel, changes its size by up to 4 % and shifts the pattern of the background;
    nothing else is random.
    """
    random = np.random.default_rng(seed)
    shift_x, shift_y = random.uniform(-1, 1, 2) * 2 / SIZE
    scale = 1 + random.uniform(-0.04, 0.04)
    phase = random.uniform(-1, 1, 2) * 2 / SIZE
    x, y = np.meshgrid((_GRID - shift_x) / scale, (_GRID - shift_y) / scale)
    silhouette = _silhouette(subject.category, scale, shift_x, shift_y)
    image = _background(style, phase)
    for colour, mask in _outline(style.outline, silhouette):
        image[mask] = colour
    body = _body(subject, x, y)
    if SHADINGS[style.shading] == "shaded":
        body = np.clip(body * np.clip(0.95 - 0.4 * (x + y), 0.4, 1.5)[..., None], 0, 1)
    image[silhouette] = body[silhouette]
    pixels = image.reshape(SIZE, _FINE, SIZE, _FINE, 3).mean(axis=(1, 3))
    rounded: RenderedImage = np.round(pixels * 255).astype(np.uint8)
    return rounded


def _body(subject: Subject, x: Plane, y: Plane) -> NDArray[np.float64]:
    """Return the subject's colour and mark on the whole canvas, (fine, fine, 3)."""
    body = np.empty((*x.shape, 3))
    body[:] = _hue(subject.hue)
    mark = {
        "white": (1.0, 1.0, 1.0),
        "black": (0.05, 0.05, 0.05),
        "inverse": _hue(subject.hue + len(HUES) // 2),
    }[MARK_COLOURS[subject.mark_colour]]
    body[_MARKS[MARKS[subject.mark]](x, y)] = mark
    return body


def _hue(index: int) -> Colour:
    return colorsys.hsv_to_rgb((index % len(HUES)) / len(HUES), 0.9, 0.9)


_MARKS: dict[str, Callable[[Plane, Plane], NDArray[np.bool_]]] = {
    "stripes": lambda x, y: np.mod(x + 0.11, 0.44) < 0.2,
    "dots": lambda x, y: np.hypot(np.mod(x + 0.21, 0.42) - 0.21, np.mod(y + 0.21, 0.42) - 0.21) < 0.125,
    "band": lambda x, y: np.abs(y - 0.12) < 0.17,
    "half": lambda x, y: y > 0.1,
    "cross": lambda x, y: np.minimum(np.abs(x - y), np.abs(x + y)) < 0.17,
}


def _background(style: Style, phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the patterned background in two shades of one tone, (fine, fine, 3)."""
    level, hue = TONES[style.tone].split()
    angle = HUES.index(hue) / len(HUES)
    low, high = ((0.5, 1.0), (0.15, 1.0)) if level == "light" else ((0.9, 0.32), (0.75, 0.62))
    image = np.empty((_CANVAS, _CANVAS, 3))
    image[:] = colorsys.hsv_to_rgb(angle, *low)
    x, y = np.meshgrid(_GRID + phase[0], _GRID + phase[1])
    image[_PATTERNS[PATTERNS[style.pattern]](x, y)] = colorsys.hsv_to_rgb(angle, *high)
    return image


_PATTERNS: dict[str, Callable[[Plane, Plane], NDArray[np.bool_]]] = {
    "plain": lambda x, y: np.zeros_like(x, bool),
    "grid": lambda x, y: (np.mod(x, 0.4) < 0.13) | (np.mod(y, 0.4) < 0.13),
    "diagonal": lambda x, y: np.mod(x + y, 0.6) < 0.3,
    "checks": lambda x, y: (np.mod(x, 0.8) < 0.4) ^ (np.mod(y, 0.8) < 0.4),
    "rings": lambda x, y: np.mod(np.hypot(x, y), 0.4) < 0.18,
}


def _outline(index: int, silhouette: NDArray[np.bool_]) -> list[tuple[float, NDArray[np.bool_]]]:
    """Return the layers of the outline under the body: (grey level, mask), widest first."""
    inner = _dilate(silhouette)
    return {
        "bare": [],
        "inked": [(0.0, inner)],
        "haloed": [(1.0, inner)],
        "framed": [(0.0, _dilate(inner)), (1.0, inner)],
    }[OUTLINES[index]]


def _dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask grown by the width of an outline on every side, one axis after the other."""
    for axis in (0, 1):
        lanes = np.moveaxis(np.pad(mask, [(_OUTLINE, _OUTLINE) if i == axis else (0, 0) for i in (0, 1)]), axis, 0)
        grown = [lanes[step : step + _CANVAS] for step in range(2 * _OUTLINE + 1)]
        mask = np.moveaxis(np.logical_or.reduce(grown), 0, axis)
    return mask


def _silhouette(category: int, scale: float, shift_x: float, shift_y: float) -> NDArray[np.bool_]:
    """Return the subject's mask, (fine, fine)."""
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(canvas)

    def place(points: Points) -> Points:
        return [
            ((px * scale + shift_x + 1) / 2 * _CANVAS, (py * scale + shift_y + 1) / 2 * _CANVAS) for px, py in points
        ]

    for kind, points, ink in _SHAPES[CATEGORIES[category]]:
        if kind == "ellipse":
            (left, top), (right, bottom) = place(points)
            pen.ellipse((left, top, right, bottom), fill=ink)
        else:
            pen.polygon(place(points), fill=ink)
    return np.asarray(canvas) > 127


def _star() -> Points:
    radii = [0.82 if i % 2 == 0 else 0.4 for i in range(10)]
    return [(r * math.sin(i * math.pi / 5), -r * math.cos(i * math.pi / 5)) for i, r in enumerate(radii)]


def _heart() -> Points:
    turns = [i / 60 * 2 * math.pi for i in range(60)]
    return [
        (
            0.82 * math.sin(t) ** 3,
            -0.05 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
        )
        for t in turns
    ]


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


_SHAPES: dict[str, list[tuple[str, Points, int]]] = {
    "cat": [
        ("ellipse", [(-0.72, -0.45), (0.72, 0.78)], 255),
        ("polygon", [(-0.68, 0.1), (-0.66, -0.82), (-0.05, -0.35)], 255),
        ("polygon", [(0.68, 0.1), (0.66, -0.82), (0.05, -0.35)], 255),
    ],
    "fish": [
        ("ellipse", [(-0.82, -0.5), (0.5, 0.5)], 255),
        ("polygon", [(0.2, 0.0), (0.84, -0.6), (0.84, 0.6)], 255),
    ],
    "house": [
        ("polygon", _box(-0.58, -0.1, 0.58, 0.8), 255),
        ("polygon", [(-0.82, -0.05), (0.0, -0.84), (0.82, -0.05)], 255),
    ],
    "tree": [
        ("ellipse", [(-0.72, -0.84), (0.72, 0.36)], 255),
        ("polygon", _box(-0.2, 0.2, 0.2, 0.84), 255),
    ],
    "mug": [
        ("ellipse", [(0.1, -0.45), (0.86, 0.45)], 255),
        ("ellipse", [(0.3, -0.2), (0.62, 0.2)], 0),
        ("polygon", _box(-0.7, -0.72, 0.4, 0.74), 255),
    ],
    "car": [
        ("polygon", _box(-0.84, -0.08, 0.84, 0.42), 255),
        ("polygon", [(-0.55, -0.05), (-0.32, -0.6), (0.32, -0.6), (0.58, -0.05)], 255),
        ("ellipse", [(-0.66, 0.15), (-0.14, 0.67)], 255),
        ("ellipse", [(0.14, 0.15), (0.66, 0.67)], 255),
    ],
    "star": [("polygon", _star(), 255)],
    "heart": [("polygon", _heart(), 255)],
}
