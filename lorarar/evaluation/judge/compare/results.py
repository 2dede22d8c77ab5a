"""Results of judging, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from lorarar.datasets import Axis
from lorarar.evaluation.judge.compare.comparison import MethodComparison
from lorarar.evaluation.judge.read.scores import Counts, ImageScore
from lorarar.evaluation.judge.trust.consistency import Consistency
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate


@dataclass(frozen=True)
class Score:
    """One metric of one method.

    Attributes:
        estimate: The mean over decided images (or pairs) with its crossed interval; None when nothing is decided.
        low: The mean over all of them with all undecided questions answered no.
        high: The same with all of them answered yes.
        decided: Decided images, or pairs for the best case.
        total: All images or pairs.
    """

    estimate: Estimate | None
    low: float
    high: float
    decided: int
    total: int


@dataclass(frozen=True)
class PairCell:
    """One method at one pair: the decided images of ``total``, and the share of them that is right."""

    content: str
    style: str
    decided: int
    total: int
    mars2: float | None
    content_passes: float | None
    style_passes: float | None


@dataclass(frozen=True)
class MethodScores:
    """One method at the pairs that all methods have.

    Attributes:
        scores: By metric: the means over images of `lorarar.evaluation.judge.read.scores.IMAGE_METRICS` (the average
            case), and "best", the share of pairs with an image that is right on both axes.
        best_of: By k, the share of pairs with at least one right image among k, over pairs with k or more images.
        corrected: "content", "style" and "joint" shares, corrected for the judge's errors; empty without calibration.
        counts: Of the voting questions.
        flags: The flags of JSON replies, such as leaks, over decided questions.
        matrix: The pairs, by content and style.
    """

    method: str
    counts: Counts
    scores: dict[str, Score]
    best_of: dict[int, Score]
    corrected: dict[str, Estimate]
    flags: dict[str, Rate]
    matrix: list[PairCell]


@dataclass(frozen=True)
class ScoreGroup:
    """The images of one prompt type, or of all.

    Attributes:
        covers: The pairs that the intervals and tests cover, as text.
        tied: By metric, the methods that do not differ from the best one, best first.
    """

    prompt_type: str
    covers: str
    methods: list[MethodScores]
    comparisons: list[MethodComparison]
    tied: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Results:
    """All results of a run.

    Attributes:
        counts: Of all questions, including other orders, repeats and perturbations.
        groups: "all" first, then each prompt type when there are several.
        skipped: Prompt types without pairs common to all methods, with the reasons.
    """

    counts: Counts
    axes: dict[Axis, Counts]
    images: list[ImageScore]
    groups: list[ScoreGroup]
    skipped: dict[str, str]
    swapped: dict[Axis, Consistency]
    repeated: dict[Axis, Consistency]
    perturbations: dict[str, dict[Axis, Consistency]]
