"""Noise pairs: LoRAs in two files, one for high and one for low noise, as for Wan 2.2.

Each of the model's two denoisers has a LoRA of its own, with the same names and shapes. Only the names of the files
tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lorarar.lora import LoRA, label
from lorarar.mergers.request import FileMerge

_SIDES = ("high", "low")
_NOISE = re.compile(r"(high|low)[ _-]?noise", re.IGNORECASE)
_ALONE = re.compile(r"(?<![a-z])(high|low)(?![a-z])", re.IGNORECASE)
_FAMILY = "wan-14b"  # the only one with two denoisers


def noise_side(name: str, family: str = "") -> str:
    """Return "high" or "low" if a file's name says so, else "".

    Args:
        name: Name of the file.
        family: Family of its LoRA; for Wan 14B the word alone counts, for others only with "noise" after it.

    >>> noise_side("cat_HighNoise.safetensors"), noise_side("cat_low_v2", "wan-14b"), noise_side("low_poly", "sdxl")
    ('high', 'low', '')
    """
    found = _NOISE.search(name) or (_ALONE.search(name) if family == _FAMILY else None)
    return found[1].lower() if found else ""


def check_one_side(loras: Sequence[LoRA]) -> None:
    """Check that no LoRA for high noise is merged with one for low noise.

    Raises:
        ValueError: The names of the files say that some are for high and some for low noise.
    """
    names: dict[str, str] = {}
    for index, lora in enumerate(loras):
        names.setdefault(noise_side(lora.name, lora.family), label(lora, index))
    if set(_SIDES) <= names.keys():
        raise ValueError(
            f"expected LoRAs for one of the model's two denoisers, found {names['high']} for high noise and "
            f"{names['low']} for low noise: merge them apart, or give each LoRA as a pair, HIGH+LOW"
        )


def split_pairs(job: FileMerge) -> list[FileMerge]:
    """Return the merges of a job: one, or one for high and one for low noise if its files are pairs.

    A pair is two paths joined by "+"; the name of each output gets "_high_noise" or "_low_noise".

    Raises:
        ValueError: Only some of the files are pairs, or a pair's order contradicts the names.
    """
    parts = [_halves(str(file)) for file in job.files]
    if all(len(halves) == 1 for halves in parts):
        return [job]
    for file, halves in zip(job.files, parts, strict=True):
        if len(halves) != 2 or not all(halves):
            raise ValueError(f"expected every LoRA as a pair of files, HIGH+LOW, found {file}: give all as pairs")
        for side, half in zip(_SIDES, halves, strict=True):
            stated = noise_side(Path(half).name, _FAMILY)
            if stated and stated != side:
                raise ValueError(
                    f"expected the file for {side} noise in this place of HIGH+LOW, found {half}: exchange the two"
                )
    return [_half(job, [halves[index] for halves in parts], side) for index, side in enumerate(_SIDES)]


def _halves(file: str) -> list[str]:
    """Return the files of a pair; a file that exists is one, whatever its name."""
    return [file] if Path(file).exists() else file.split("+")


def _half(job: FileMerge, files: Sequence[str], side: str) -> FileMerge:
    coefficients = job.save_coefficients and _named(job.save_coefficients, side)
    return replace(job, files=files, output=_named(job.output, side), save_coefficients=coefficients)


def _named(path: Path, side: str) -> Path:
    return path.with_name(f"{path.stem}_{side}_noise{path.suffix}")
