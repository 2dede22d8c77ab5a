"""Paints and lights: filters that repaint the drawing or change the light on it, such as watercolour and thermal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorarar.worlds.art.filters.canvas import (
    RADIUS,
    SIDE,
    Picture,
    Plane,
    X,
    Y,
    blur,
    clip,
    colour,
    flat,
    grow,
    ink,
    luminance,
    mix,
    noise,
    ramp,
    rim,
    saturate,
    shift,
    smooth,
    tone,
)


def watercolour(picture: Picture, alpha: Plane, *, wash: str, paper: str) -> Picture:
    """Paint with wobbly edges and dark rims on paper with a wash."""
    rows = np.clip(np.rint(Y + noise(11, 5) * 2), 0, SIDE - 1).astype(int)
    columns = np.clip(np.rint(X + noise(12, 5) * 2), 0, SIDE - 1).astype(int)
    picture, alpha = picture[rows, columns], alpha[rows, columns]
    soft = blur(picture * alpha[..., None], 1.2) / np.maximum(blur(alpha, 1.2), 0.05)[..., None]
    body = 1 - (1 - saturate(clip(soft), 1.3)) * clip(0.85 + 0.12 * noise(13, 5))[..., None]
    body = body * (1 - clip(alpha - blur(alpha, 2.5)) * 0.9)[..., None]
    bloom = smooth(noise(14, 11) + 1.3 - RADIUS / 42, -0.4, 0.6) * 0.85
    return mix(mix(flat(paper), flat(wash), bloom), body, smooth(alpha, 0.1, 0.9))


def oil(picture: Picture, alpha: Plane, *, ground: str, clouds: str) -> Picture:
    """Paint with a flat brush: each spot takes the calmest of its four neighbourhoods."""
    backdrop = mix(flat(ground), flat(clouds), smooth(noise(21, 9) + (Y - 64) / 60, -1, 1))
    image = mix(mix(backdrop, backdrop * 0.4, rim(alpha, 4)), saturate(picture, 1.3), alpha)
    means, spreads = [], []
    brightness = luminance(image)
    mean, mean_brightness = blur(image, 1.3), blur(brightness, 1.3)
    spread = blur(brightness * brightness, 1.3) - mean_brightness * mean_brightness
    for down, right in ((-2, -2), (-2, 2), (2, -2), (2, 2)):
        means.append(shift(mean, down, right))
        spreads.append(shift(spread, down, right))
    calm = np.argmin(np.stack(spreads), 0)
    painted = np.choose(calm[..., None], means)
    bristles = np.sin((X * np.cos(noise(22, 3) * 1.2) + Y * np.sin(noise(22, 3) * 1.2)) * 0.7)
    return clip(painted * (1 + 0.07 * bristles)[..., None])


def vintage(picture: Picture, alpha: Plane, *, inks: Sequence[str], border: str) -> Picture:
    """Show an old photograph of one tone, with a bright border and dark corners."""
    backdrop = 0.55 + 0.12 * (1 - Y / 127) + 0.05 * noise(61, 12)
    brightness = blur(backdrop + (tone(picture, alpha) - backdrop) * alpha, 0.7)
    brightness = brightness * (1 - 0.5 * smooth(RADIUS, 40, 92)) * (1 - 0.55 * rim(alpha, 2))
    frame = (np.maximum(np.abs(X - 63.5), np.abs(Y - 63.5)) > 56.5).astype(np.float32)
    return mix(ramp(clip(brightness), inks), flat(border), frame)


def thermal(picture: Picture, alpha: Plane, *, inks: Sequence[str]) -> Picture:
    """Show the brightness as heat, with a halo on a cold ground."""
    heat = tone(blur(picture, 1.0), alpha) * 0.8 + 0.2
    warm = 0.06 + (heat - 0.06) * blur(alpha, 1.6)
    return ramp(clip(np.maximum(warm, blur(alpha, 8) * 0.22)), inks)


def relief(picture: Picture, alpha: Plane, *, inks: Sequence[str]) -> Picture:
    """Emboss the drawing in one material, lit from the upper left."""
    height = blur(alpha * 0.9 + alpha * tone(picture, alpha) * 1.1, 1.3)
    slope = shift(height, 2, 2) - shift(height, -2, -2)
    return ramp(clip(0.5 - slope * 1.3 - 0.22 * rim(alpha, 2) + 0.03 * noise(92, 9)), inks)


def nightfall(picture: Picture, alpha: Plane, *, sky: str, horizon: str, light: str) -> Picture:
    """Show the drawing at night: tinted, with a rim of light, before a sky of stars."""
    stars = np.random.default_rng(7).random((SIDE // 8, SIDE // 8)) > 0.82
    spots = blur((np.kron(stars, np.ones((8, 8))) * (X % 8 < 3) * (Y % 8 < 3)).astype(np.float32), 0.6)
    scene = mix(ramp(Y / 127, [sky, horizon]), flat("#ffffff"), clip(spots * 1.6) * (Y < 96))
    body = clip(picture * 0.75 * (0.45 + 0.75 * colour(light)) + 0.03)
    lit = clip(alpha - shift(blur(alpha, 1), 4, 4))
    return clip(mix(scene, body, alpha) + (lit * 0.8)[..., None] * colour(light))


def synthwave(picture: Picture, alpha: Plane, *, inks: Sequence[str], sky: Sequence[str], grid: str) -> Picture:
    """Show a gradient of bright colours before a striped sun, above a grid in perspective."""
    depth = np.maximum(Y - 84, 1)
    rungs = (150 / depth % 1 < 0.22) | (np.abs((X - 64) / depth * 3 % 1 - 0.5) > 0.42)
    sun = smooth(36 - np.hypot(X - 64, Y - 56), -1, 1) * ~((Y > 50) & (Y % 9 < 3)) * (Y < 84)
    scene = mix(ramp(Y / 127, sky), flat(grid), np.maximum(sun * 0.75, rungs * (Y >= 84) * 0.8).astype(np.float32))
    body = ramp(clip(tone(picture, alpha) * 0.85 + 0.1 - 0.15 * (Y / 127 - 0.5)), inks)
    lines = np.maximum(rim(alpha, 3), ink(picture, alpha, 1.0, 0.35, 0.7) * 0.5)
    return mix(mix(scene, body, alpha), flat(inks[0]), lines)


def glitch(picture: Picture, alpha: Plane, *, ground: str, reach: int) -> Picture:
    """Shift the colour channels apart and three bands sideways, between dark lines."""
    image = mix(flat(ground), saturate(picture, 1.2), alpha)
    torn = np.stack([shift(image[..., 0], 0, -reach), image[..., 1], shift(image[..., 2], 0, reach)], -1)
    for top, height, right in ((22, 8, 10), (58, 6, -12), (90, 10, 8)):
        torn[top : top + height] = np.roll(torn[top : top + height], right, 1)
    return clip(torn * (1 - 0.3 * (Y % 8 < 3))[..., None])


def clay(picture: Picture, alpha: Plane, *, ground: str, table: str) -> Picture:
    """Model the drawing in soft, shiny clay on a table."""
    height = blur(alpha + 0.35 * alpha * tone(picture, alpha), 3.0)
    slope = shift(height, 2, 2) - shift(height, -2, -2)
    body = saturate(blur(picture, 1.6), 1.35) * np.clip(1 - 0.75 * slope, 0.3, 1.3)[..., None]
    shine = smooth(-slope, 0.25, 0.6) * 0.5
    scene = mix(flat(ground), flat(table), smooth(Y - 92, -1, 1))
    scene = scene * (1 - 0.5 * blur(shift(grow(alpha, 1), 6, 5), 4))[..., None]
    return np.clip(mix(scene, mix(clip(body), flat("#ffffff"), shine), smooth(blur(alpha, 1), 0.35, 0.65)), 0, 1)
