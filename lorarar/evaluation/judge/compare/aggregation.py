"""Aggregation: from verdicts to scores of methods (MARS2, soft MARS2, best of k) with intervals and comparisons.

The results are a pure function of items, questions and verdicts, so a resumed run ends with the same bytes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lorarar.datasets import AXES, Item
from lorarar.evaluation.judge.compare.comparison import COMPARED, compare_methods, tied_methods
from lorarar.evaluation.judge.compare.correction import correct_scores
from lorarar.evaluation.judge.compare.grid import Grid, lay_out
from lorarar.evaluation.judge.compare.results import MethodScores, PairCell, Results, Score, ScoreGroup
from lorarar.evaluation.judge.read.scores import (
    IMAGE_METRICS,
    Counts,
    ImageMetric,
    ImageScore,
    count_states,
    in_order,
    score_images,
    voting,
)
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.trust.consistency import perturbation_consistency, repeat_consistency, swapped_consistency
from lorarar.evaluation.judge.trust.gate import CalibrationGate
from lorarar.evaluation.statistics.proportions import Rate, best_of_k

ALL = "all"


def aggregate_verdicts(
    items: Sequence[Item],
    questions: Sequence[Question],
    verdicts: Mapping[str, Verdict],
    gate: CalibrationGate | None = None,
) -> Results:
    """Compute the scores of all methods.

    Args:
        verdicts: By question id; a question without one is "not_run".
        gate: The judge's calibration, for corrected scores.

    Raises:
        ValueError: The questions come from several rubrics, or no pair is common to all methods.
    """
    rubrics = sorted({question.rubric for question in questions})
    if len(rubrics) > 1:
        raise ValueError(f"expected questions of one rubric, found {', '.join(rubrics)}: aggregate each rubric alone")
    questions = in_order(questions)
    images = sorted(score_images(items, questions, verdicts), key=lambda image: image.item.id)
    flags = _flags_of_items(questions, verdicts)
    groups = [_group(ALL, images, flags, gate)]
    types = sorted({item.prompt_type for item in items})
    skipped = {}
    for prompt_type in types if len(types) > 1 else []:
        try:
            groups.append(_group(prompt_type, [i for i in images if i.item.prompt_type == prompt_type], flags, gate))
        except ValueError as error:
            skipped[prompt_type] = str(error)
    return Results(
        counts=count_states(verdicts.get(q.id) for q in questions),
        axes={axis: count_states(verdicts.get(q.id) for q in questions if q.axis == axis) for axis in AXES},
        images=images,
        groups=groups,
        skipped=skipped,
        swapped=swapped_consistency(questions, verdicts),
        repeated=repeat_consistency(questions, verdicts),
        perturbations=perturbation_consistency(questions, verdicts),
    )


def _group(
    prompt_type: str,
    images: Sequence[ImageScore],
    flags: Mapping[str, list[dict[str, bool]]],
    gate: CalibrationGate | None,
) -> ScoreGroup:
    grid = lay_out(images)
    methods = [_method(grid, method, flags, gate) for method in grid.methods]
    comparisons = [comparison for metric in COMPARED for comparison in compare_methods(grid, metric)]
    tied = {}
    for metric in COMPARED:
        estimates = {scores.method: scores.scores[metric].estimate for scores in methods}
        means = {method: estimate.mean for method, estimate in estimates.items() if estimate is not None}
        if means:
            tied[metric] = tied_methods(means, [c for c in comparisons if c.metric == metric])
    return ScoreGroup(prompt_type, grid.describe(), methods, comparisons, tied)


def _method(
    grid: Grid, method: str, flags: Mapping[str, list[dict[str, bool]]], gate: CalibrationGate | None
) -> MethodScores:
    images = grid.images(method)
    pairs = _by_pair(grid, method)
    scores = {name: _score(grid, method, metric) for name, metric in IMAGE_METRICS.items()}
    return MethodScores(
        method=method,
        counts=sum((image.counts for image in images), Counts()),
        scores=scores | {"best": _best_case(grid, pairs)},
        best_of={k: _best_of(grid, pairs, k) for k in _sizes(pairs.values())},
        corrected=correct_scores(grid, method, gate) if gate else {},
        flags=_rates(flag for image in images for flag in flags.get(image.item.id, [])),
        matrix=[_cell(grid.contents[c], grid.styles[s], cell) for (c, s), cell in sorted(pairs.items())],
    )


def _score(grid: Grid, method: str, metric: ImageMetric) -> Score:
    values = grid.values(method, metric)
    bounds = [metric(image) for image in grid.images(method)]
    return Score(
        estimate=grid.estimate(values, shares=True),
        low=_mean([bound.low for bound in bounds]),
        high=_mean([bound.high for bound in bounds]),
        decided=int((~np.isnan(values)).sum()),
        total=len(bounds),
    )


def _by_pair(grid: Grid, method: str) -> dict[tuple[int, int], list[ImageScore]]:
    pairs: dict[tuple[int, int], list[ImageScore]] = defaultdict(list)
    for (content, style, _), image in sorted(grid.cells[method].items()):
        pairs[content, style].append(image)
    return pairs


def _best_case(grid: Grid, pairs: Mapping[tuple[int, int], list[ImageScore]]) -> Score:
    """Score whether any image of a pair is right; undecided when no image is certainly right, but one may be."""
    bounds = {}
    for index, images in pairs.items():
        values = [IMAGE_METRICS["mars2"](image) for image in images]
        bounds[index] = max(v.low for v in values), max(v.high for v in values)
    return _pair_score(grid, {i: low if low == high else math.nan for i, (low, high) in bounds.items()}, bounds)


def _best_of(grid: Grid, pairs: Mapping[tuple[int, int], list[ImageScore]], k: int) -> Score:
    """Score at least one right image among k, from the decided images of each pair with k or more of them."""
    values, bounds = {}, {}
    for index, images in pairs.items():
        correct = [image.correct for image in images]
        right, decided, total = correct.count(True), len(correct) - correct.count(None), len(correct)
        values[index] = best_of_k(right, decided, k) if k <= decided else math.nan
        bounds[index] = best_of_k(right, total, k), best_of_k(right + total - decided, total, k)
    return _pair_score(grid, values, bounds)


def _pair_score(
    grid: Grid, values: Mapping[tuple[int, int], float], bounds: Mapping[tuple[int, int], tuple[float, float]]
) -> Score:
    cells = np.full((len(grid.contents), len(grid.styles), 1), math.nan)
    for index, value in values.items():
        cells[*index, 0] = value
    low, high = (_mean([bound[side] for bound in bounds.values()]) for side in (0, 1))
    return Score(grid.estimate(cells, shares=True), low, high, int((~np.isnan(cells)).sum()), len(values))


def _sizes(pairs: Iterable[list[ImageScore]]) -> list[int]:
    """Return 1, 2, 4, .. and the number of images that every pair has."""
    most = min(map(len, pairs))
    return sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), most})


def _cell(content: str, style: str, images: Sequence[ImageScore]) -> PairCell:
    def share(metric: str) -> float | None:
        values = [value for image in images if (value := IMAGE_METRICS[metric](image).value) is not None]
        return _mean(values) if values else None

    decided = sum(image.correct is not None for image in images)
    return PairCell(content, style, decided, len(images), share("mars2"), share("content"), share("style"))


def _flags_of_items(questions: Iterable[Question], verdicts: Mapping[str, Verdict]) -> dict[str, list[dict[str, bool]]]:
    flags: dict[str, list[dict[str, bool]]] = defaultdict(list)
    for question in voting(questions):
        verdict = verdicts.get(question.id)
        if verdict is not None and verdict.state == "ok":
            flags[question.item].append({k: v for k, v in verdict.details.items() if isinstance(v, bool)})
    return flags


def _rates(flags: Iterable[dict[str, bool]]) -> dict[str, Rate]:
    values: dict[str, list[bool]] = defaultdict(list)
    for flag in flags:
        for name, value in flag.items():
            values[name].append(value)
    return {name: Rate(sum(flags_of_name), len(flags_of_name)) for name, flags_of_name in sorted(values.items())}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
