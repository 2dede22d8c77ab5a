"""Results of the rows: means with crossed intervals, paired comparisons, and the methods tied with the best."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorarar.benchmark.judged import JudgeRecord
from lorarar.benchmark.quality.cells import ScoredCell
from lorarar.benchmark.quality.comparison import Comparisons, RowComparison, compare_rows, rounded
from lorarar.benchmark.quality.crossing import crossed_sizes
from lorarar.benchmark.quality.rows import TableRow, Variant
from lorarar.benchmark.quality.settings import MergerSettings
from lorarar.benchmark.quality.tuning import TuningTrial
from lorarar.datasets import Pair
from lorarar.evaluation.statistics import Estimate, crossed_interval, tied_set

QUALITY_METRICS = ("content", "style", "joint", "strict")
_RAW_METRICS = ("content", "style", "strict")
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class RowOutcome:
    """A row after its run.

    Attributes:
        chosen: The settings of the row, after tuning.
        trials: The trials of its tuning.
        cells: For each training seed the cells of all pairs.
    """

    row: TableRow
    chosen: Variant
    trials: Sequence[TuningTrial]
    cells: Sequence[Sequence[ScoredCell]]

    def scores(self, metric: str, sizes: tuple[int, int]) -> Scores:
        """Return the scores of a metric (contents, styles, images), a mean over training seeds.

        Args:
            metric: The metric.
            sizes: Numbers of contents and styles, see `crossed_sizes`.
        """
        mean: Scores = self.scores_of_training_seeds(metric, sizes).mean(0)
        return mean

    def scores_of_training_seeds(self, metric: str, sizes: tuple[int, int]) -> Scores:
        """Return the scores of a metric (training seeds, contents, styles, images).

        The images of a content and a style are those of each noise seed, and of each of their LoRAs.
        """
        return self._values(metric).reshape(len(self.cells), *sizes, -1)

    def by_pair(self, metric: str) -> Scores:
        """Return the scores of a metric (pairs, noise seeds), a mean over training seeds."""
        mean: Scores = self._values(metric).mean(0)
        return mean

    def _values(self, metric: str) -> Scores:
        """Return the scores of a metric (training seeds, pairs, noise seeds)."""
        return np.array([[cell.scores[metric] for cell in cells] for cells in self.cells])


@dataclass(frozen=True)
class RowResult:
    """A row of results.json.

    Attributes:
        kind: The kind of the row.
        settings: As chosen; for a merger of the kind "delta" with the form of its deltas.
        tried: All trials.
        facts: Means of what its merges recorded.
        content, style, joint, strict: Scores with 95 % intervals; `strict` is None where a judge scores.
        joint_of_training_seeds: Joint score of each training seed, where there are several.
    """

    kind: str
    settings: Mapping[str, Any]
    tried: Sequence[TuningTrial]
    facts: Mapping[str, float]
    content: Estimate
    style: Estimate
    joint: Estimate
    strict: Estimate | None = None
    joint_of_training_seeds: Sequence[float] = ()


@dataclass(frozen=True)
class QualityResults:
    """Everything but times; equal cells give equal results.

    Attributes:
        pairs: Names of the compared pairs.
        methods: Results by row.
        best: The method of the highest joint score; None where a judge scores.
        tied_with_the_best: Methods that cannot be distinguished from the best by joint score.
        best_minus: The best method minus each other method, by metric.
        compared: The comparisons that the configuration lists, by metric.
        equivalence_margin: The largest difference that counts as none, as the configuration fixed it.
        raw: row -> metric -> scores (contents, styles, images), means over training seeds; "joint" has those of each
            training seed (training seeds, contents, styles, images).
    """

    pairs: Sequence[str]
    methods: Mapping[str, RowResult]
    best: str | None = None
    tied_with_the_best: Sequence[str] = ()
    best_minus: Comparisons = field(default_factory=dict)
    compared: Comparisons = field(default_factory=dict)
    equivalence_margin: float | None = None
    raw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class MergeCost:
    """Median seconds to merge a pair, and the largest extra memory in bytes."""

    merge_seconds: float
    extra_bytes: int


def summarise_scores(
    outcomes: Sequence[RowOutcome],
    pairs: Sequence[Pair],
    compared: Sequence[Sequence[str]],
    margin: float | None = None,
) -> QualityResults:
    """Return the results of rows that a classifier scored."""
    sizes = crossed_sizes(pairs)
    values = {
        metric: {outcome.row.name: outcome.scores(metric, sizes) for outcome in outcomes} for metric in QUALITY_METRICS
    }
    competing = [outcome.row.name for outcome in outcomes if outcome.row.competes]
    best = _best(competing, values["joint"])
    with_best = [(best, name) for name in competing if name != best] if best else []
    best_minus = {metric: compare_rows(values[metric], with_best, margin) for metric in QUALITY_METRICS}
    return QualityResults(
        [pair.name for pair in pairs],
        {outcome.row.name: _classified(outcome, values) for outcome in outcomes},
        best,
        _tied(competing, values["joint"], best_minus["joint"]) if best else (),
        best_minus,
        {metric: compare_rows(values[metric], compared, margin) for metric in QUALITY_METRICS},
        margin,
        {outcome.row.name: _raw(outcome, sizes) for outcome in outcomes},
    )


def _raw(outcome: RowOutcome, sizes: tuple[int, int]) -> dict[str, Any]:
    raw = {metric: outcome.scores(metric, sizes) for metric in _RAW_METRICS}
    raw["joint"] = outcome.scores_of_training_seeds("joint", sizes)
    return {metric: np.round(scores, 4).tolist() for metric, scores in raw.items()}


def summarise_judged(outcomes: Sequence[RowOutcome], pairs: Sequence[Pair], judged: JudgeRecord) -> QualityResults:
    """Return the results of rows that a judge alone scored; the judge's own report compares the methods."""
    methods = {}
    for outcome in outcomes:
        scores = judged.methods[outcome.row.name]
        methods[outcome.row.name] = RowResult(
            **_settings_and_facts(outcome),
            content=scores.estimate("content"),
            style=scores.estimate("style"),
            joint=scores.estimate("mars2"),
        )
    return QualityResults([pair.name for pair in pairs], methods)


def summarise_times(outcomes: Sequence[RowOutcome]) -> dict[str, MergeCost]:
    """Return the cost of a merge for each row that merges."""
    costs = {}
    for outcome in outcomes:
        cells = [cell for cells in outcome.cells for cell in cells]
        if any(cell.seconds for cell in cells):
            costs[outcome.row.name] = MergeCost(
                statistics.median(cell.seconds for cell in cells), max(cell.extra_bytes for cell in cells)
            )
    return costs


def _best(names: Sequence[str], joint: Mapping[str, Scores]) -> str | None:
    """Return the method of the highest mean; among equals the first by name, as `tied_set` orders them."""
    return min(names, key=lambda name: (-float(joint[name].mean()), name)) if names else None


def _classified(outcome: RowOutcome, values: Mapping[str, Mapping[str, Scores]]) -> RowResult:
    estimates: dict[str, Any] = {
        metric: rounded(crossed_interval(values[metric][outcome.row.name], shares=True)) for metric in QUALITY_METRICS
    }
    by_seed = [float(np.mean([cell.scores["joint"] for cell in cells])) for cells in outcome.cells]
    return RowResult(
        **_settings_and_facts(outcome),
        **estimates,
        joint_of_training_seeds=[round(mean, 6) for mean in by_seed] if len(by_seed) > 1 else [],
    )


def _settings_and_facts(outcome: RowOutcome) -> dict[str, Any]:
    facts = [cell.facts for cells in outcome.cells for cell in cells]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    means = {key: float(np.mean([fact[key] for fact in facts if key in fact])) for key in keys}
    chosen = outcome.chosen.settings
    form = {"form": chosen.form} if isinstance(chosen, MergerSettings) and chosen.form else {}
    return {
        "kind": outcome.row.kind,
        "settings": {**outcome.chosen.stated, **form},
        "tried": outcome.trials,
        "facts": {key: round(mean, 6) for key, mean in means.items()},
    }


def _tied(names: Sequence[str], values: Mapping[str, Scores], comparisons: Sequence[RowComparison]) -> tuple[str, ...]:
    differs = {frozenset((each.first, each.second)): each.differs for each in comparisons}
    return tied_set({name: float(values[name].mean()) for name in names}, differs)
