"""Prints: filters that reduce the drawing to a few inks, such as comic, halftone and linocut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorarar.worlds.art.filters.canvas import (
    Picture,
    Plane,
    X,
    Y,
    blur,
    clip,
    flat,
    ink,
    luminance,
    mix,
    nearest_colour,
    noise,
    pattern,
    posterise,
    ramp,
    rim,
    saturate,
    shift,
    smooth,
    solid,
    tone,
)


def comic(picture: Picture, alpha: Plane, *, first: str, second: str) -> Picture:
    """Print flat bright colours with black outlines on rays."""
    body = posterise(saturate(clip(picture * 1.08), 1.5), 3)
    printed = mix(pattern("rays", first, second), body, solid(alpha))
    return mix(printed, flat("#101010"), np.maximum(ink(picture, alpha, 0.8, 0.3, 0.55), rim(alpha, 3)))


def duotone(picture: Picture, alpha: Plane, *, dark: str, light: str) -> Picture:
    """Print the brightness as a gradient between two colours."""
    ground = mix(flat(light), flat(dark), 0.16 * (Y / 127))
    lines = np.maximum(rim(alpha, 2), 0.7 * ink(picture, alpha, 0.9, 0.3, 0.6))
    return mix(mix(ground, ramp(tone(picture, alpha), [dark, light]), alpha), flat(dark), lines)


def halftone(picture: Picture, alpha: Plane, *, paper: str, ink_colour: str) -> Picture:
    """Print the darkness as dots of growing size, with outlines."""
    diagonal, other = (X + Y) * np.float32(0.7071), (X - Y) * np.float32(0.7071)
    screen = np.cos(diagonal * np.float32(np.pi / 5)) * np.cos(other * np.float32(np.pi / 5))
    darkness = alpha * (1 - tone(picture, alpha) * 0.95)
    dots = smooth(darkness * 1.9 - 1 + screen * 0.75, -0.15, 0.15) * alpha
    speckles = smooth(screen - 0.72, -0.1, 0.1) * (1 - alpha) * 0.5
    lines = ink(picture, alpha, 0.9, 0.25, 0.55)
    return mix(flat(paper), flat(ink_colour), np.maximum(np.maximum(dots, lines), speckles))


def linocut(picture: Picture, alpha: Plane, *, paper: str, ink_colour: str) -> Picture:
    """Print from a carved block: wavy cuts follow the brightness, within a frame."""
    brightness = tone(picture, alpha)
    wave = np.abs(((Y + 2 * np.sin(X / 8)) / 9) % 1 - 0.5) * 2
    cut = np.where(alpha > 0.5, smooth(brightness * 1.15 - 0.2 - wave * 0.75, -0.06, 0.06), 1)
    lines = ink(picture, alpha, 0.9, 0.28, 0.5) * (alpha > 0.5)
    block = np.maximum(1 - cut, rim(alpha, 3))
    block = clip(block + lines * np.where(brightness < 0.55, -0.9, 1))
    frame = (np.maximum(np.abs(X - 63.5), np.abs(Y - 63.5)) > 58.5).astype(np.float32)
    return mix(flat(paper), flat(ink_colour), np.maximum(block, frame))


def woodblock(picture: Picture, alpha: Plane, *, palette: Sequence[str], sky: str, horizon: str) -> Picture:
    """Print a few muted colours with dark lines under a graded sky, with waves below."""
    ground = ramp(Y / 127, [sky, horizon, "#f3e6c8"])
    waves = smooth(np.sin((Y - 5 * np.sin(X / 10)) / 3.6), 0.6, 1) * (Y > 84)
    printed = mix(mix(ground, flat(sky), waves), nearest_colour(blur(picture, 0.9), palette), solid(alpha))
    return mix(printed, flat("#22263c"), np.maximum(ink(picture, alpha, 0.9, 0.28, 0.5), rim(alpha, 2)) * 0.9)


def popart(picture: Picture, alpha: Plane, *, inks: Sequence[str], ground: str) -> Picture:
    """Print four loud inks by brightness on a dotted ground."""
    levels = clip(np.floor(blur(tone(picture, alpha), 0.7) * 4) / 3)
    dots = blur((np.hypot(X % 14 - 7, Y % 14 - 7) < 3.6).astype(np.float32), 0.6) * 0.5
    return mix(mix(flat(ground), flat(inks[-1]), dots), ramp(levels, inks), solid(alpha))


def riso(picture: Picture, alpha: Plane, *, warm: str, cold: str, paper: str) -> Picture:
    """Print two inks out of register: warm colours with one, darkness with the other."""
    amount = clip(alpha * (0.3 + 0.7 * clip(picture[..., 0] - picture[..., 2] + 0.45)))
    hills = smooth(Y - 92 + 5 * np.sin(X / 14), -2, 2) * 0.5 * (1 - alpha)
    printed = flat(paper) * (1 - np.maximum(amount, hills)[..., None] * (1 - flat(warm)))
    darkness = np.maximum(alpha * (1 - tone(picture, alpha)) * 1.15, 0.85 * ink(picture, alpha, 0.9, 0.25, 0.55))
    second = clip(shift(darkness, 2, -3))
    return clip(printed * (1 - second[..., None] * (1 - flat(cold))))


def stencil(picture: Picture, alpha: Plane, *, wall: str, paint: str, light: str) -> Picture:
    """Spray two layers through stencils on a plastered wall."""
    brightness = tone(picture, alpha)
    plaster = flat(wall) * (1 + 0.05 * noise(74, 7) + 0.02 * noise(75, 1.5))[..., None]
    mist = smooth(blur(alpha, 5), 0.02, 0.9) * 0.3
    sprayed = mix(mix(plaster, flat(paint), mist), flat(paint), solid(alpha))
    bright = smooth(blur(brightness, 0.8), 0.42, 0.5) * solid(alpha) * (1 - ink(picture, alpha, 1.0, 0.3, 0.55))
    return clip(mix(sprayed, flat(light), bright))


def poster(picture: Picture, alpha: Plane, *, sky: Sequence[str], sun: str, ground: str) -> Picture:
    """Print flat colours before a banded sunset, as on a travel poster."""
    bands = ramp(np.floor(Y / 127 * 5) / 4, sky)
    disc = smooth(42 - np.hypot(X - 64, Y - 58), -1, 1)
    scene = mix(mix(bands, flat(sun), disc), flat(ground), smooth(Y - 104 + 4 * np.sin(X / 18), -1, 1))
    body = saturate(posterise(blur(picture, 1.0), 4) * 0.92 + 0.04, 1.15)
    printed = mix(scene, flat(ground) * 0.55, rim(alpha, 3))
    return mix(printed, body, solid(alpha))


def papercut(picture: Picture, alpha: Plane, *, ground: str, hill: str) -> Picture:
    """Cut the drawing out of layers of paper that throw shadows."""
    slope = smooth(Y - 88 - 7 * np.sin(X / 17 + 1), -1, 1)
    shadow = blur(shift(slope, -3, 0), 2) * 0.35
    scene = mix(flat(ground) * (1 - shadow[..., None]), flat(hill), slope)
    scene = scene * (1 - blur(shift(alpha, 5, 5), 2.5) * 0.55)[..., None]
    body = posterise(blur(picture, 1.2), 4) * 0.85 + 0.1
    brightness = blur(luminance(body), 1)
    step = clip(shift(brightness, 2, 2) - brightness) * 0.8
    return mix(scene, clip(body - step[..., None]), solid(alpha))


def sticker(picture: Picture, alpha: Plane, *, kind: str, first: str, second: str) -> Picture:
    """Cut the drawing out with a white border, on a patterned ground."""
    border = smooth(blur(rim(alpha, 5) + solid(alpha), 1), 0.3, 0.6)
    shadow = blur(shift(border, 5, 4), 2.5) * 0.45
    ground = pattern(kind, first, second) * (1 - shadow[..., None])
    return mix(mix(ground, flat("#ffffff"), border), saturate(picture, 1.1), alpha)
