"""Tuning: a row's settings are chosen on validation pairs, with the same budget for every tuned row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorarar.benchmark.quality.builders import build_method
from lorarar.benchmark.quality.cells import run_cells
from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.rows import TableRow, Variant


@dataclass(frozen=True)
class TuningTrial:
    """Settings that were tried, and their mean joint score on the validation pairs."""

    settings: Mapping[str, Any]
    joint: float


def tune(inputs: QualityInputs, row: TableRow) -> tuple[Variant, list[TuningTrial]]:
    """Return the best settings of a row and all trials; among equals the first wins.

    A row without trials keeps its own settings.
    """
    if not row.trials:
        return row.own, []
    trials = []
    for variant in row.trials:
        method = build_method(inputs, variant.settings, row.training_seeds[0])
        cells = run_cells(inputs, method, inputs.tuning_pairs(), inputs.config.tuned_seeds, folder=None)
        values = [value for cell in cells for value in cell.scores["joint"]]
        trials.append(TuningTrial(variant.changes, sum(values) / len(values)))
    scores = [trial.joint for trial in trials]
    return row.trials[scores.index(max(scores))], trials
