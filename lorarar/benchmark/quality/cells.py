"""One method on one pair is a cell: made once, kept by the hash of all that it depends on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lorarar.benchmark.quality.methods import Made, Method
from lorarar.benchmark.quality.world import World
from lorarar.datasets import Pair, load_image, save_image
from lorarar.storage import cached_path, sha256, write_json
from lorarar.worlds.toy import read_images, truth_of

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Cell:
    """The images of one method for one pair, at k seeds.

    Attributes:
        scores: for each metric k values; empty without a reader.
        images: SHA-256 of each image's file; empty where images are not kept.
        seconds, extra_bytes, facts: see `lorarar.benchmark.quality.methods.Made`.
    """

    scores: dict[str, list[float]]
    images: tuple[str, ...]
    seconds: float
    extra_bytes: int
    facts: dict[str, float] = field(default_factory=dict)


def run_cells(
    world: World,
    method: Method,
    pairs: Sequence[Pair],
    seeds: Sequence[int],
    *,
    folder: Path | None,
    progress: Progress = lambda images: None,
) -> list[Cell]:
    """The cells of a method, in the order of the pairs; what was made before is read.

    Pairs are merged and drawn in fixed groups, and a group is made whole, so that an interrupted run ends with the same
    bytes as one that was not.

    Args:
        folder: for the images, ``<content>+<style>/<seed>.png``; None keeps none.
        progress: told the number of images that are done.
    """
    cells: list[Cell] = []
    for start in range(0, len(pairs), world.config.group):
        group = pairs[start : start + world.config.group]
        paths = [_path(world, method, pair, seeds, keep=folder is not None) for pair in group]
        places = [[folder / pair.name / f"{seed}.png" for seed in seeds] if folder else [] for pair in group]
        found = [_read(path, place) for path, place in zip(paths, places, strict=True)]
        known = [cell for cell in found if cell]
        cells += known if len(known) == len(group) else _make(world, method, group, seeds, paths, places)
        progress(len(group) * len(seeds))
    return cells


def _make(
    world: World,
    method: Method,
    pairs: Sequence[Pair],
    seeds: Sequence[int],
    paths: Sequence[Path],
    places: Sequence[Sequence[Path]],
) -> list[Cell]:
    made = method.make(pairs)
    with torch.no_grad():
        images = _as_saved(method.draw(pairs, made, seeds))
    scores = read_images(world.classifier, images, [truth_of(pair) for pair in pairs]) if world.classifier else {}
    cells = []
    for i, (path, place) in enumerate(zip(paths, places, strict=True)):
        for image, file in zip(images[i], place, strict=False):
            file.parent.mkdir(parents=True, exist_ok=True)
            save_image(image, file)
        cell = _cell(made[i], {name: values[i].tolist() for name, values in scores.items()}, place)
        write_json(path, cell, indent=None)
        cells.append(cell)
    return cells


def _cell(made: Made, scores: dict[str, list[float]], place: Sequence[Path]) -> Cell:
    return Cell(scores, tuple(sha256(file) for file in place), made.seconds, made.extra_bytes, made.facts)


def _read(path: Path, place: Sequence[Path]) -> Cell | None:
    """A cell of an earlier run, if its images are still there as they were."""
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    cell = Cell(**{**found, "images": tuple(found["images"])})
    there = tuple(sha256(file) if file.exists() else "" for file in place)
    return cell if there == cell.images else None


def _path(world: World, method: Method, pair: Pair, seeds: Sequence[int], *, keep: bool) -> Path:
    """Where a cell lies: by the hash of all that its content depends on."""
    content, style = pair.content, pair.style
    identity = {
        "method": method.identity,
        "loras": [world.hashes[content.name], world.hashes[style.name]],
        "pair": [pair.name, pair.prompt, content.captions, style.captions],
        "base": world.config.base,
        "reader": str(world.config.classifier),
        "sampling": [world.config.steps, world.config.guidance, list(seeds)],
        "images": keep,
    }
    return cached_path(world.config.runs / "cells", identity, ".json")


def _as_saved(images: Tensor) -> Tensor:
    """Images (n, k, 3, h, w) as their files hold them, in 256 steps: what is scored is what can be looked at."""
    return (images.clamp(0, 1) * 255).round() / 255


def read_cell_image(path: Path) -> Tensor:
    """Read a kept image (3, height, width), 0 to 1."""
    pixels = torch.from_numpy(np.array(load_image(path, longest=None)))
    return pixels.permute(2, 0, 1) / 255
