"""Choose a row's settings on validation pairs, with the same budget for every tuned row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorarar.benchmark.quality.cells import Progress, run_cells
from lorarar.benchmark.quality.config import MethodConfig
from lorarar.benchmark.quality.rows import build
from lorarar.benchmark.quality.world import World


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and their mean joint score on the validation pairs."""

    settings: Mapping[str, Any]
    joint: float


def choose(
    world: World, row: MethodConfig, progress: Progress = lambda images: None
) -> tuple[dict[str, Any], list[Trial]]:
    """The row's settings, the best of those tried put over them, and all trials; the first of equals wins."""
    trials = []
    for tried in row.tried:
        method = build(world, row, {**row.settings, **tried}, row.training_seeds[0])
        cells = run_cells(world, method, world.tuned_pairs(), world.config.tuned_seeds, folder=None, progress=progress)
        values = [value for cell in cells for value in cell.scores["joint"]]
        trials.append(Trial(tried, sum(values) / len(values)))
    best = max(trials, key=lambda trial: trial.joint) if trials else Trial({}, 0.0)
    return {**row.settings, **best.settings}, trials
