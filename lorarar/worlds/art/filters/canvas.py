"""Canvas: the operations on planes and colours that the filters are made of, 128 x 128 pixels, numpy alone.

A plane is (128, 128) and a picture is (128, 128, 3), both 0 to 1. Blurs and averages are products with small matrices,
because these are fast and need no further library.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

SIDE = 128
Plane: TypeAlias = NDArray[np.floating[Any]]
Picture: TypeAlias = NDArray[np.floating[Any]]
Y, X = (axis.astype(np.float32) for axis in np.mgrid[0:SIDE, 0:SIDE])
RADIUS = np.hypot(X - SIDE / 2, Y - SIDE / 2)  # from the centre, in pixels
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@cache
def colour(code: str) -> NDArray[np.floating[Any]]:
    """Return a colour such as "#ff8800" as three numbers."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


@cache
def flat(code: str) -> Picture:
    """Return a picture of one colour."""
    return np.broadcast_to(colour(code), (SIDE, SIDE, 3))


def clip(image: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Limit a plane or a picture to 0 to 1."""
    limited: Picture = np.minimum(np.maximum(image, 0), 1)
    return limited


def smooth(values: Plane, low: float, high: float) -> Plane:
    """Return 0 below `low`, 1 above `high` and a ramp between."""
    return clip((values - low) / (high - low))


def mix(under: Picture, upper: Picture | NDArray[np.floating[Any]], share: Plane | float) -> Picture:
    """Return `under` where `share` is 0, `upper` where it is 1, and a blend between."""
    weight = share[..., None] if isinstance(share, np.ndarray) and share.ndim == 2 else share
    return under + (upper - under) * weight


def ramp(values: Plane, codes: Sequence[str]) -> Picture:
    """Map values, 0 to 1, to a gradient through colours at equal distances."""
    stops = np.stack([colour(code) for code in codes])
    positions = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(values, positions, stops[:, i]) for i in range(3)], -1).astype(np.float32)


def luminance(picture: Picture) -> Plane:
    """Return the brightness of each pixel."""
    return picture @ _LUMINANCE


def saturate(picture: Picture, factor: float) -> Picture:
    """Multiply each pixel's distance from grey."""
    grey = luminance(picture)[..., None]
    return clip(grey + (picture - grey) * factor)


def posterise(picture: Picture, levels: int) -> Picture:
    """Reduce each channel to a number of equally spaced levels."""
    return clip(np.floor(picture * levels) / (levels - 1))


def nearest_colour(picture: Picture, codes: Sequence[str]) -> Picture:
    """Replace each pixel by the most similar colour of a palette."""
    palette = np.stack([colour(code) for code in codes])
    distances = np.square((picture[..., None, :] - palette) * np.sqrt(_LUMINANCE)).sum(-1)
    nearest: Picture = palette[distances.argmin(-1)]
    return nearest


@cache
def _blur_matrix(sigma: float) -> NDArray[np.floating[Any]]:
    """Return the matrix (128, 128) of a Gaussian blur along an axis, mirrored at the borders."""
    reach = max(1, round(3 * sigma))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        target = np.arange(SIDE) + offset
        target = np.where(target < 0, -1 - target, np.where(target >= SIDE, 2 * SIDE - 1 - target, target))
        matrix[np.arange(SIDE), target] += np.float32(weight)
    return matrix


def along_both(
    rows: NDArray[np.floating[Any]], image: NDArray[np.floating[Any]], columns: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Apply a matrix (h, 128) to the rows of a plane or picture, and one (w, 128) to its columns."""
    if image.ndim == 2:
        plane: Plane = rows @ image @ columns.T
        return plane
    height, width = len(rows), len(columns)
    down = (rows @ image.reshape(SIDE, -1)).reshape(height, SIDE, -1)
    picture: Picture = (down.transpose(0, 2, 1) @ columns.T).reshape(height, -1, width).transpose(0, 2, 1)
    return picture


def blur(image: NDArray[np.floating[Any]], sigma: float) -> NDArray[np.floating[Any]]:
    """Blur a plane or a picture by a Gaussian of `sigma` pixels."""
    matrix = _blur_matrix(sigma)
    return along_both(matrix, image, matrix)


def grow(plane: Plane, reach: int) -> Plane:
    """Return the largest value within `reach` pixels, in a square."""
    for axis in (0, 1):
        lanes = np.pad(plane, [(reach, reach) if i == axis else (0, 0) for i in (0, 1)])
        parts = [lanes.take(range(step, step + SIDE), axis) for step in range(2 * reach + 1)]
        plane = np.maximum.reduce(parts)
    return plane


def shift(image: NDArray[np.floating[Any]], down: int, right: int) -> NDArray[np.floating[Any]]:
    """Move a plane or a picture by whole pixels; its border is repeated where nothing moves in."""
    rows, columns = (np.clip(np.arange(SIDE) - step, 0, SIDE - 1) for step in (down, right))
    return image[rows][:, columns]


@cache
def noise(seed: int, sigma: float) -> Plane:
    """Return smooth noise of mean 0 and deviation 1. It belongs to the filter: all its images have the same."""
    grain = np.random.default_rng(seed).standard_normal((SIDE, SIDE)).astype(np.float32)
    grain = blur(grain, sigma) if sigma else grain
    scaled: Plane = grain / grain.std()
    return scaled


def solid(alpha: Plane) -> Plane:
    """Return the silhouette with a hard edge."""
    return smooth(alpha, 0.4, 0.6)


def rim(alpha: Plane, reach: int) -> Plane:
    """Return the band around the silhouette, `reach` pixels wide."""
    return solid(grow(alpha, reach)) * (1 - solid(alpha))


def edges(picture: Picture, alpha: Plane, sigma: float) -> Plane:
    """Return the strength of the edges of colours and of the silhouette, 0 to about 1."""
    layers = blur(np.concatenate([mix(flat("#ffffff"), picture, alpha), alpha[..., None]], -1), sigma)
    padded = np.pad(layers, [(1, 1), (1, 1), (0, 0)], mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    along = padded[2:] - padded[:-2]
    across = across[:-2] + 2 * across[1:-1] + across[2:]
    along = along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]
    strength: Plane = np.sqrt(np.square(across) + np.square(along)).max(-1) / 2
    return strength


def ink(picture: Picture, alpha: Plane, sigma: float = 0.9, low: float = 0.2, high: float = 0.5) -> Plane:
    """Return the drawing's lines, 0 to 1: the edges between two strengths."""
    return smooth(edges(picture, alpha, sigma), low, high)


def tone(picture: Picture, alpha: Plane) -> Plane:
    """Return the brightness, stretched within the drawing, so that every drawing has dark and light parts."""
    brightness = luminance(picture)
    inside = brightness[alpha > 0.5]
    low, high = np.quantile(inside, [0.03, 0.97])
    spread = max(high - low, 0.25)
    low = (low + high - spread) / 2
    return 0.12 + 0.8 * clip((brightness - low) / spread)


def hatching(darkness: Plane, pitch: float, angle: float, seed: int) -> Plane:
    """Return parallel strokes that widen where it is dark, 0 to 1."""
    across = X * np.float32(np.cos(angle)) + Y * np.float32(np.sin(angle)) + noise(seed, 6) * 0.8
    wave = np.abs((across / pitch) % 1 - 0.5) * 2
    return smooth(darkness - wave, -0.1, 0.15)


@cache
def _averaging_matrix(step: int) -> NDArray[np.floating[Any]]:
    """Return the matrix (cells, 128) that averages cells of `step` pixels; the last cell may be smaller."""
    cell = np.arange(SIDE) // step
    matrix = (cell == np.arange(cell[-1] + 1)[:, None]).astype(np.float32)
    means: Plane = matrix / matrix.sum(1, keepdims=True)
    return means


def cells(image: NDArray[np.floating[Any]], step: int) -> NDArray[np.floating[Any]]:
    """Return the means of square cells of `step` pixels."""
    matrix = _averaging_matrix(step)
    return along_both(matrix, image, matrix)


def enlarge(image: NDArray[np.floating[Any]], step: int) -> NDArray[np.floating[Any]]:
    """Return a picture of cells, each `step` pixels wide and of one colour."""
    index = np.arange(SIDE) // step
    return image[index][:, index]


@cache
def shards(seed: int, across: int) -> tuple[NDArray[np.intp], Plane]:
    """Return irregular cells, `across` in a row: the number of each pixel's cell, and its distance to the border."""
    random = np.random.default_rng(seed)
    step = SIDE / across
    corners = np.stack(np.meshgrid(np.arange(across), np.arange(across)), -1).reshape(-1, 2) * step
    centres = corners + random.uniform(0.1, 0.9, corners.shape) * step
    pixels = np.stack([X.ravel(), Y.ravel()], -1)
    distances = np.linalg.norm(pixels[:, None] - centres, axis=-1)
    nearest = np.partition(distances, 1, axis=1)
    gap = (nearest[:, 1] - nearest[:, 0]).reshape(SIDE, SIDE).astype(np.float32)
    return distances.argmin(1).reshape(SIDE, SIDE), gap


def shard_means(picture: Picture, numbers: NDArray[np.intp]) -> Picture:
    """Return a picture in which every irregular cell has its mean colour."""
    counts = np.bincount(numbers.ravel())
    sums = [np.bincount(numbers.ravel(), picture[..., channel].ravel()) for channel in range(3)]
    means = np.stack(sums, -1) / np.maximum(counts, 1)[:, None]
    return means.astype(np.float32)[numbers]


@cache
def pattern(kind: str, first: str, second: str) -> Picture:
    """Return a ground of two colours: "stripes", "checks", "dots", "rays", "rings", "waves" or "zigzag"."""
    mask = {
        "stripes": (X + Y) % 32 < 16,
        "checks": (X % 40 < 20) ^ (Y % 40 < 20),
        "dots": np.hypot(X % 24 - 12, Y % 24 - 12) < 6.5,
        "rays": np.mod(np.arctan2(Y - 64, X - 64) / np.pi * 8, 2) < 1,
        "rings": RADIUS % 26 < 13,
        "waves": (Y + 6 * np.sin(X / 9)) % 24 < 12,
        "zigzag": (Y + np.abs(X % 32 - 16)) % 24 < 12,
    }[kind]
    return mix(flat(first), flat(second), blur(mask.astype(np.float32), 0.6))
