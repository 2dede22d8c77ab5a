"""Cells: the images of one method for one pair, computed once and kept by the hash of everything they depend on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.methods import RowMethod
from lorarar.datasets import Pair, load_image, save_image
from lorarar.storage import cached_path, progress, sha256, write_json
from lorarar.worlds.stages import score_images, truth_of


@dataclass(frozen=True)
class ScoredCell:
    """The images of one method for one pair, one per seed.

    Attributes:
        scores: For each metric one value per seed; empty without a classifier.
        images: SHA-256 of each image's file; empty where images are not kept.
        seconds, extra_bytes, facts: See `lorarar.benchmark.quality.methods.MeasuredMerge`.
    """

    scores: dict[str, list[float]]
    images: tuple[str, ...]
    seconds: float
    extra_bytes: int
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """Where the cell of a pair and its images lie; no images where they are not kept."""

    pair: Pair
    cell: Path
    images: Sequence[Path]


def run_cells(
    inputs: QualityInputs, method: RowMethod, pairs: Sequence[Pair], seeds: Sequence[int], *, folder: Path | None
) -> list[ScoredCell]:
    """Return the cells of a method, in the order of the pairs; existing cells are read.

    Pairs are merged and sampled in fixed groups, and a group is computed whole, so that an interrupted run ends with
    the same bytes as an uninterrupted one.

    Args:
        folder: For the images, ``<content>+<style>/<seed>.png``; None keeps no images.
    """
    cells: list[ScoredCell] = []
    with progress("merge and sample", len(pairs), "pairs") as advance:
        for places in _groups(inputs, method, pairs, seeds, folder):
            kept = _kept(places)
            cells += kept or _compute(inputs, method, seeds, places)
            advance(len(places))
    return cells


def missing_groups(
    inputs: QualityInputs, method: RowMethod, pairs: Sequence[Pair], seeds: Sequence[int], *, folder: Path | None
) -> list[int]:
    """Return the number of the first pair of each group that `run_cells` would compute."""
    groups = enumerate(_groups(inputs, method, pairs, seeds, folder))
    return [number * inputs.config.group for number, places in groups if not _kept(places)]


def _groups(
    inputs: QualityInputs, method: RowMethod, pairs: Sequence[Pair], seeds: Sequence[int], folder: Path | None
) -> Iterator[list[_Place]]:
    for start in range(0, len(pairs), inputs.config.group):
        yield [_place(inputs, method, pair, seeds, folder) for pair in pairs[start : start + inputs.config.group]]


def _kept(places: Sequence[_Place]) -> list[ScoredCell]:
    """Return the cells of a group from an earlier run; none if one is missing."""
    kept = [cell for cell in map(_read, places) if cell]
    return kept if len(kept) == len(places) else []


def _compute(
    inputs: QualityInputs, method: RowMethod, seeds: Sequence[int], places: Sequence[_Place]
) -> list[ScoredCell]:
    pairs = [place.pair for place in places]
    merges = method.merge(pairs)
    with torch.no_grad():
        images = _as_saved(method.draw(pairs, merges, seeds))
    scores: dict[str, Tensor] = {}
    if inputs.classifier:
        truths = [truth_of(inputs.classifier.world, pair) for pair in pairs]
        scores = score_images(inputs.classifier, images, truths)
    cells = []
    for i, (place, merge) in enumerate(zip(places, merges, strict=True)):
        for image, file in zip(images[i], place.images, strict=False):  # no files where images are not kept
            file.parent.mkdir(parents=True, exist_ok=True)
            save_image(image, file)
        cell = ScoredCell(
            {name: values[i].tolist() for name, values in scores.items()},
            tuple(sha256(file) for file in place.images),
            merge.seconds,
            merge.extra_bytes,
            merge.facts,
        )
        write_json(place.cell, cell, indent=None)
        cells.append(cell)
    return cells


def _read(place: _Place) -> ScoredCell | None:
    """Read a cell of an earlier run, if its images are still there as they were."""
    if not place.cell.exists():
        return None
    values: dict[str, Any] = json.loads(place.cell.read_text(encoding="utf-8"))
    cell = ScoredCell(**{**values, "images": tuple(values["images"])})
    hashes = tuple(sha256(file) if file.exists() else "" for file in place.images)
    return cell if hashes == cell.images else None


def _place(inputs: QualityInputs, method: RowMethod, pair: Pair, seeds: Sequence[int], folder: Path | None) -> _Place:
    config, content, style = inputs.config, pair.content, pair.style
    # The names in it stay as they are: renaming one would lose the cells of earlier runs.
    identity = {
        "method": method.identity,
        "loras": [inputs.hashes[content.name], inputs.hashes[style.name]],
        "pair": [pair.name, pair.prompt, content.captions, style.captions],
        "base": config.base,
        "reader": str(config.classifier),
        "sampling": [config.steps, config.guidance, list(seeds)],
        "images": folder is not None,
    }
    images = [folder / pair.name / f"{seed}.png" for seed in seeds] if folder else []
    return _Place(pair, cached_path(config.runs / "cells", identity, ".json"), images)


def _as_saved(images: Tensor) -> Tensor:
    """Round images (pairs, seeds, 3, height, width) to the 256 levels of their files, so that the files are scored."""
    return (images.clamp(0, 1) * 255).round() / 255


def read_cell_image(path: Path) -> Tensor:
    """Read a kept image (3, height, width), 0 to 1."""
    pixels = torch.from_numpy(np.array(load_image(path, longest=None)))
    return pixels.permute(2, 0, 1) / 255
