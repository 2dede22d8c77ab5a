"""Textures: filters that build the drawing from small pieces, such as pixels, stitches and tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorarar.worlds.art.filters.canvas import (
    SIDE,
    Picture,
    Plane,
    X,
    Y,
    blur,
    cells,
    clip,
    colour,
    enlarge,
    flat,
    grow,
    mix,
    nearest_colour,
    noise,
    ramp,
    rim,
    saturate,
    shard_means,
    shards,
    smooth,
    solid,
    tone,
)


def _blocks(picture: Picture, alpha: Plane, step: int) -> tuple[Picture, Plane]:
    """Return the drawing's colours and silhouette in cells, weighted by the silhouette; both are of the cells' size."""
    cover = cells(alpha, step)
    colours = cells(picture * alpha[..., None], step) / np.maximum(cover, 0.02)[..., None]
    return clip(colours), (cover > 0.45).astype(np.float32)


def _neighbours(on: Plane) -> Plane:
    """Return the cells of a silhouette with those that touch one of its sides."""
    wide = np.pad(on, 1)
    near: Plane = np.maximum.reduce([on, wide[1:-1, 2:], wide[1:-1, :-2], wide[2:, 1:-1], wide[:-2, 1:-1]])
    return near


def handheld(picture: Picture, alpha: Plane, *, inks: Sequence[str], ground: str) -> Picture:
    """Show large pixels in a few inks by brightness, as an old handheld does."""
    colours, on = _blocks(ramp(tone(picture, alpha), ["#000000", "#ffffff"]), alpha, 6)
    levels = np.clip((colours[..., 0] * len(inks)).astype(int), 0, len(inks) - 1)
    palette = np.stack([colour(code) for code in inks])
    return enlarge(mix(np.broadcast_to(colour(ground), colours.shape), palette[levels], on), 6)


def pixel(picture: Picture, alpha: Plane, *, palette: Sequence[str], ground: str) -> Picture:
    """Show large pixels of a console's palette, with a dark outline."""
    colours, on = _blocks(saturate(picture, 1.25), alpha, 6)
    body = nearest_colour(colours, palette)
    outlined = mix(np.broadcast_to(colour(ground), body.shape), colour(palette[0]), _neighbours(on))
    return enlarge(mix(outlined, body, on), 6)


def bricks(picture: Picture, alpha: Plane, *, plate: str) -> Picture:
    """Build the drawing from toy bricks with studs on a plate."""
    step = 8
    colours, on = _blocks(saturate(picture, 1.3), alpha, step)
    outlined = mix(np.broadcast_to(colour(plate), colours.shape), colour(plate) * 0.45, _neighbours(on))
    body = enlarge(mix(outlined, colours, on), step)
    u, v = X % step - 3.5, Y % step - 3.5
    stud = smooth(2.9 - np.hypot(u, v), -0.6, 0.6)
    light = 1 + 0.16 * stud * np.sign(-u - v) - 0.22 * ((X % step > 6.5) | (Y % step > 6.5))
    return clip(body * light[..., None] + 0.05 * stud[..., None])


def stitch(picture: Picture, alpha: Plane, *, fabric: str) -> Picture:
    """Embroider the drawing in crosses on a fabric with holes."""
    step = 6
    colours, on = _blocks(saturate(picture, 1.35), alpha, step)
    u, v = (X % step) / step - 0.42, (Y % step) / step - 0.42
    cross = smooth(np.minimum(np.abs(u - v), np.abs(u + v)), 0.12, 0.42)
    outlined = mix(np.broadcast_to(colour(fabric) * 0.4, colours.shape), colours, on)
    thread = enlarge(outlined, step) * (1.1 - 0.45 * cross)[..., None]
    holes = ((X % step < 1.5) & (Y % step < 1.5)) * np.float32(0.22)
    cloth = flat(fabric) * (1 - holes)[..., None]
    return clip(mix(cloth, thread, enlarge(_neighbours(on), step)))


def knit(picture: Picture, alpha: Plane, *, yarn: str) -> Picture:
    """Knit the drawing into a jersey, in rows of V-shaped stitches."""
    knitted = mix(flat(yarn), flat(yarn) * 0.45, rim(alpha, 4))
    image = mix(knitted, saturate(picture, 1.3), solid(alpha))
    width, height = 8, 6
    column = np.floor(X / width)
    u = X / width - column
    rise = Y / height + np.abs(u - 0.5) * 0.9
    row, v = np.floor(rise), rise % 1
    across = np.clip((column + 0.5) * width, 0, SIDE - 1).astype(int)
    down = np.clip((row - 0.1) * height, 0, SIDE - 1).astype(int)
    shade = 0.82 + 0.24 * smooth(np.abs(v - 0.5), 0.5, 0.1) - 0.16 * smooth(np.abs(u - 0.5), 0.4, 0.5)
    return clip(blur(image, 1.1)[down, across] * shade[..., None])


def tiles(picture: Picture, alpha: Plane, *, ground: str, grout: str) -> Picture:
    """Lay the drawing in small square tiles with grout between."""
    step = 8
    image = mix(mix(flat(ground), flat(grout), rim(alpha, 3)), saturate(picture, 1.4), solid(alpha))
    shades = np.random.default_rng(3).normal(0, 0.045, (SIDE // step, SIDE // step, 1)).astype(np.float32)
    body = 0.4 * enlarge(cells(image, step), step) + 0.6 * image + enlarge(shades, step)
    joint = ((X % step < 1) | (Y % step < 1)).astype(np.float32) * 0.6
    return clip(mix(clip(body), flat(grout), joint))


def glass(picture: Picture, alpha: Plane, *, first: str, second: str) -> Picture:
    """Show a stained-glass window: shards of glowing colours between lead."""
    numbers, gap = shards(41, 9)
    tints = np.random.default_rng(5).uniform(0, 1, numbers.max() + 1).astype(np.float32)[numbers]
    image = mix(mix(flat(first), flat(second), tints), saturate(picture, 1.5), alpha)
    body = clip(0.35 * shard_means(image, numbers) + 0.65 * image + 0.06)
    outline = smooth(grow(alpha, 2) - (1 - grow(1 - alpha, 1)), 0.3, 0.7)
    lead = np.maximum((1 - smooth(gap, 1.2, 2.8)) * (1 - 0.45 * alpha), outline)
    return mix(body, flat("#15151c"), lead * 0.92)


def felt(picture: Picture, alpha: Plane, *, ground: str, seam: str) -> Picture:
    """Sew the drawing out of woolly felt with a dashed seam around it."""
    wool = 1 + 0.05 * noise(45, 1.2) + 0.05 * noise(46, 3)
    cloth = flat(ground) * (wool * (1 - 0.6 * blur(grow(alpha, 3), 2) * (1 - alpha)))[..., None]
    fuzzy = smooth(blur(alpha, 1.5) + 0.1 * noise(47, 1.2), 0.4, 0.6)
    body = saturate(blur(picture, 1.5), 1.2) * wool[..., None]
    inner = smooth(blur(alpha, 2.5), 0.62, 0.7) * (1 - smooth(blur(alpha, 2.5), 0.86, 0.94))
    dashes = inner * (np.sin((X - Y) * 0.5) * np.sin((X + Y) * 0.5) > -0.15)
    return clip(mix(mix(cloth, body, fuzzy), flat(seam), dashes.astype(np.float32) * 0.85))
