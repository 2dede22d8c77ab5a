"""What judging found, as plain data, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from lorarar.datasets import Axis
from lorarar.evaluation.judge.compare.comparison import MethodComparison
from lorarar.evaluation.judge.read.scores import Counts, ImageScore
from lorarar.evaluation.judge.trust.consistency import Consistency
from lorarar.evaluation.statistics.bootstrap import Estimate
from lorarar.evaluation.statistics.proportions import Rate


@dataclass(frozen=True)
class Score:
    """One metric of one method.

    Attributes:
        estimate: the mean over decided images (or pairs) with its crossed interval; None when nothing is decided.
        low, high: the mean over all of them with the undecided questions answered no, and yes.
        decided, total: images, or pairs for the best case.
    """

    estimate: Estimate | None
    low: float
    high: float
    decided: int
    total: int


@dataclass(frozen=True)
class PairCell:
    """One method at one pair: decided images of ``total``, and the share of them that is right."""

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
        scores: by metric: those of `lorarar.evaluation.judge.read.scores.IMAGE_METRICS` (means over images: the average case), and "best",
            the share of pairs of which any image is right on both axes.
        best_of: k -> share of pairs of which at least one of k images would be right; without pairs of fewer images.
        corrected: "content", "style" and "joint" shares freed of the judge's errors; empty without calibration.
        counts: of the voting questions.
        flags: what JSON replies reported beside the answer, such as leaks, over decided questions.
        matrix: by content and style.
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
    """The images of one prompt type, or all.

    Attributes:
        covers: what the intervals and tests cover, in words.
        tied: by metric the methods that cannot be told from the best one, best first.
    """

    prompt_type: str
    covers: str
    methods: list[MethodScores]
    comparisons: list[MethodComparison]
    tied: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Results:
    """Everything that a report tells.

    Attributes:
        counts: of all questions, other orders, repeats and perturbations included.
        groups: "all" first, then each prompt type when there are several.
        skipped: prompt types without pairs common to all methods, and why.
    """

    counts: Counts
    axes: dict[Axis, Counts]
    images: list[ImageScore]
    groups: list[ScoreGroup]
    skipped: dict[str, str]
    swapped: dict[Axis, Consistency]
    repeated: dict[Axis, Consistency]
    perturbations: dict[str, dict[Axis, Consistency]]
