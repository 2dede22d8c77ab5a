"""What the cells say: means with crossed intervals, paired comparisons, the methods tied with the best."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.benchmark.quality.cells import Cell
from lorarar.benchmark.quality.config import MethodConfig
from lorarar.benchmark.quality.tuning import Trial
from lorarar.datasets import Pair
from lorarar.evaluation.statistics import Estimate, crossed_interval, holm, paired_interval, sign_flip, tied_set

METRICS = ("content", "style", "joint", "strict")
LEVEL = 0.05
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        settings: as chosen; trials: what was tried for it.
        cells: for each training seed the cells of all pairs.
    """

    config: MethodConfig
    settings: Mapping[str, Any]
    trials: Sequence[Trial]
    cells: Sequence[Sequence[Cell]]

    def scores(self, metric: str, contents: int) -> Scores:
        """(contents, styles, noise seeds), a mean over training seeds."""
        values: Scores = np.array([[cell.scores[metric] for cell in cells] for cells in self.cells]).mean(0)
        return values.reshape(contents, -1, values.shape[-1])


def summarise(rows: Sequence[Row], pairs: Sequence[Pair], compared: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Everything but times, as JSON: equal cells give equal text."""
    contents = len({pair.content.name for pair in pairs})
    values = {m: {row.config.name: row.scores(m, contents) for row in rows} for m in METRICS}
    competing = [row.config.name for row in rows if row.config.competes]
    # of equals the first by name, as `tied_set` has it
    best = min(competing, key=lambda name: (-float(values["joint"][name].mean()), name)) if competing else None
    with_best = [(best, name) for name in competing if name != best] if best else []
    found = {metric: _compare(values[metric], with_best) for metric in METRICS}
    return {
        "pairs": [pair.name for pair in pairs],
        "methods": {row.config.name: _describe(row, {m: values[m][row.config.name] for m in METRICS}) for row in rows},
        "best": best,
        "tied_with_the_best": list(_tied(best, competing, values["joint"], found["joint"])) if best else [],
        "best_minus": found,
        "compared": {metric: _compare(values[metric], compared) for metric in METRICS},
        "raw": {
            name: {m: _rounded(values[m][name]) for m in ("content", "style", "strict")} for name in values["joint"]
        },
    }


def summarise_judged(rows: Sequence[Row], pairs: Sequence[Pair], judged: Mapping[str, Any]) -> dict[str, Any]:
    """The same where there is no reader: a judge's scores; its own report compares the methods."""
    found = {row.config.name: judged["methods"][row.config.name] for row in rows}
    scores = {
        name: {
            key: _judged_estimate(scores, of)
            for key, of in (("content", "content"), ("style", "style"), ("joint", "mars2"))
        }
        for name, scores in found.items()
    }
    return {
        "pairs": [pair.name for pair in pairs],
        "methods": {row.config.name: _describe_settings(row) | scores[row.config.name] for row in rows},
        "best": None,
        "tied_with_the_best": [],
    }


def _judged_estimate(scores: Mapping[str, Any], name: str) -> dict[str, float]:
    low, high = scores[f"{name}_interval"]
    return {"mean": scores[name], "low": low, "high": high}


def summarise_times(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Median seconds to merge a pair and the largest extra memory, of each row that merges."""
    found = {}
    for row in rows:
        cells = [cell for cells in row.cells for cell in cells]
        if any(cell.seconds for cell in cells):
            found[row.config.name] = {
                "merge_seconds": statistics.median(cell.seconds for cell in cells),
                "extra_bytes": max(cell.extra_bytes for cell in cells),
            }
    return found


def _describe(row: Row, values: Mapping[str, Scores]) -> dict[str, Any]:
    by_seed = [float(np.mean([cell.scores["joint"] for cell in cells])) for cells in row.cells]
    return {
        **_describe_settings(row),
        **{metric: _plain(crossed_interval(found)) for metric, found in values.items()},
        "joint_of_training_seeds": [round(mean, 6) for mean in by_seed] if len(by_seed) > 1 else [],
    }


def _describe_settings(row: Row) -> dict[str, Any]:
    facts = [cell.facts for cells in row.cells for cell in cells if cell.facts]
    means = {key: float(np.mean([fact[key] for fact in facts])) for key in (facts[0] if facts else ())}
    return {
        "kind": row.config.kind,
        "settings": dict(row.settings),
        "tried": [asdict(trial) for trial in row.trials],
        "facts": {key: round(mean, 6) for key, mean in means.items()},
    }


def _compare(values: Mapping[str, Scores], pairs: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """First minus second, paired; "differs": Holm's p below .05 and an interval that excludes 0."""
    estimates = [paired_interval(values[first], values[second]) for first, second in pairs]
    p = [sign_flip((values[first] - values[second]).mean(2).reshape(-1)) for first, second in pairs]
    return [
        {
            "first": first,
            "second": second,
            **_plain(e),
            "p_holm": round(q, 6),
            "differs": q < LEVEL and e.excludes_zero(),
        }
        for (first, second), e, q in zip(pairs, estimates, holm(p), strict=True)
    ]


def _tied(
    best: str, names: Sequence[str], values: Mapping[str, Scores], comparisons: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    differs = {frozenset((found["first"], found["second"])): bool(found["differs"]) for found in comparisons}
    return tied_set({name: float(values[name].mean()) for name in names}, differs)


def _plain(estimate: Estimate) -> dict[str, float]:
    return {key: round(value, 6) for key, value in asdict(estimate).items()}


def _rounded(values: Scores) -> list[list[list[float]]]:
    found: list[list[list[float]]] = np.round(values, 4).tolist()
    return found
