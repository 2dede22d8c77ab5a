"""Pens: filters that draw lines, such as pencil, chalk and neon tubes."""

from __future__ import annotations

import numpy as np

from lorarar.worlds.art.filters.canvas import (
    Picture,
    Plane,
    X,
    Y,
    blur,
    clip,
    colour,
    flat,
    grow,
    hatching,
    ink,
    mix,
    noise,
    ramp,
    rim,
    saturate,
    smooth,
    solid,
    tone,
)


def pencil(picture: Picture, alpha: Plane, *, paper: str, line: str) -> Picture:
    """Draw outlines and hatched shade in one colour on paper."""
    darkness = alpha * (1 - tone(picture, alpha))
    shade = clip(hatching(0.78 * darkness, 7, 0.8, 1) * 0.6 + smooth(darkness, 0.1, 0.9) * 0.3) * alpha
    strokes = np.maximum(ink(picture, alpha, 0.9, 0.12, 0.5), shade) * (0.82 + 0.18 * smooth(noise(3, 0.8), -1.5, 0.5))
    return mix(flat(paper), flat(line), strokes)


def chalk(picture: Picture, alpha: Plane, *, board: str, line: str) -> Picture:
    """Draw thick, grainy outlines and a soft fill in chalk on a board."""
    lines = ink(picture, alpha, 1.3, 0.14, 0.4) * (0.8 + 0.2 * smooth(noise(81, 1.5), -1, 0.6))
    fill = alpha * (0.12 + 0.4 * tone(picture, alpha)) * (0.9 + 0.1 * noise(82, 1.2))
    smeared = flat(board) + (0.05 * noise(84, 8))[..., None]
    return mix(smeared, flat(line), clip(np.maximum(lines, fill)))


def neon(picture: Picture, alpha: Plane, *, ground: str, glow: str, foot: str) -> Picture:
    """Draw glowing tubes in the dark; their colour runs from `glow` at the top to `foot` at the bottom."""
    lines = ink(picture, alpha, 1.0, 0.12, 0.42)
    light = ramp(Y / 127, [glow, foot])
    lit = flat(ground) + alpha[..., None] * light * 0.12 + light * (blur(lines, 4) * 1.1)[..., None]
    return clip(lit + lines[..., None] * (light * 0.6 + 0.35))


def blueprint(picture: Picture, alpha: Plane, *, ground: str) -> Picture:
    """Draw white lines with a pale fill on a grid."""
    grid = ((X % 16 < 2) | (Y % 16 < 2)) * np.float32(0.2)
    fill = alpha * tone(picture, alpha) * 0.35
    marks = np.maximum(ink(picture, alpha, 0.9, 0.14, 0.42), np.maximum(grid * (1 - alpha), fill))
    return mix(flat(ground), flat("#ffffff"), marks)


def crayon(picture: Picture, alpha: Plane, *, paper: str, line: str, angle: float) -> Picture:
    """Colour the drawing with broad wax strokes over outlines."""
    along = X * np.float32(np.cos(angle)) + Y * np.float32(np.sin(angle))
    strokes = smooth(np.sin(along * 0.7 + noise(51, 6)) * 0.5 + 0.5, -0.05, 0.4)
    ragged = smooth(blur(alpha, 1.2) + noise(53, 2) * 0.09, 0.4, 0.6)
    waxed = mix(flat(paper), saturate(blur(picture, 0.8), 1.5), ragged * (0.35 + 0.65 * strokes))
    return mix(waxed, flat(line), ink(picture, alpha, 1.1, 0.2, 0.5) * 0.85)


def graffiti(picture: Picture, alpha: Plane, *, wall: str, spray: str, line: str) -> Picture:
    """Spray bright colours with a thick dark outline and a halo of mist on a brick wall."""
    row = np.floor(Y / 16)
    joints = ((Y % 16 < 2) | ((X + 16 * (row % 2)) % 32 < 2)).astype(np.float32)
    bricks = mix(flat(wall), flat(wall) * 0.72, joints)
    mist = mix(bricks, flat(spray), smooth(blur(grow(alpha, 8), 5), 0.05, 0.75) * 0.9)
    colours = saturate(clip(0.5 + (picture - 0.5) * 1.15), 1.7)
    painted = mix(mist, colours, solid(alpha))
    return mix(painted, flat(line), np.maximum(rim(alpha, 4), ink(picture, alpha, 1.0, 0.3, 0.6) * alpha))


def xray(picture: Picture, alpha: Plane, *, ground: str, light: str) -> Picture:
    """Show the drawing as a glowing negative in the dark."""
    negative = 1 - tone(picture, alpha)
    density = clip(alpha * (0.2 + 0.75 * negative) + 0.55 * ink(picture, alpha, 1.2, 0.15, 0.6))
    halo = blur(grow(alpha, 3), 4) * 0.22
    return mix(flat(ground), colour(light), np.maximum(density, halo))
