"""Verdicts -> one score an image: votes on both axes, with everything that is undecided counted apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.judge.records import Question, Verdict


@dataclass(frozen=True)
class Counts:
    """How many questions ended in which state."""

    ok: int = 0
    abstain: int = 0
    error: int = 0
    invalid_input: int = 0
    not_run: int = 0

    @property
    def total(self) -> int:
        """All that were to be asked."""
        return self.ok + self.undecided

    @property
    def undecided(self) -> int:
        """All without a vote."""
        return self.abstain + self.error + self.invalid_input + self.not_run

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__dict__})


@dataclass(frozen=True)
class AxisScore:
    """One image on one axis, a vote a reference.

    Attributes:
        yes: references on which the vote was yes.
        soft: the sum over decided references of the probability of yes, or of the value where there is none.
    """

    counts: Counts
    yes: int
    soft: float

    def passes(self) -> bool | None:
        """Whether strictly more than half of the references say yes; None when the undecided could change it."""
        worst, best = self.bounds()
        return worst if worst == best else None

    def bounds(self) -> tuple[bool, bool]:
        """Whether it passes if all undecided references had said no, and if all had said yes."""
        if not self.counts.total:
            return False, True
        return 2 * self.yes > self.counts.total, 2 * (self.yes + self.counts.undecided) > self.counts.total


@dataclass(frozen=True)
class ImageScore:
    """One image on both axes."""

    item: Item
    axes: Mapping[Axis, AxisScore]

    @property
    def counts(self) -> Counts:
        """Of both axes' questions."""
        return self.axes["content"].counts + self.axes["style"].counts

    @property
    def correct(self) -> bool | None:
        """Whether both axes pass; None when undecided questions could change it."""
        passes = [self.axes[axis].passes() for axis in AXES]
        if False in passes:
            return False
        return None if None in passes else True


@dataclass(frozen=True)
class Value:
    """An image's value of a metric, None when undecided, and its bounds with the undecided at 0 and at 1."""

    value: float | None
    low: float
    high: float


ImageMetric = Callable[[ImageScore], Value]


def score_images(
    items: Iterable[Item], questions: Iterable[Question], verdicts: Mapping[str, Verdict]
) -> list[ImageScore]:
    """The score of each item, in the items' order.

    A reference has one vote: that of its question in the first order and of its first repeat. Other orders and repeats
    tell how consistent the judge is (`lorarar.evaluation.judge.trust.consistency`) and do not vote. A question without verdict is
    "not_run". Pairwise questions are left out.
    """
    votes: dict[tuple[str, Axis], list[Verdict | None]] = defaultdict(list)
    for question in voting(questions):
        votes[question.item, question.axis].append(verdicts.get(question.id))
    return [ImageScore(item, {axis: _score_axis(votes[item.id, axis]) for axis in AXES}) for item in items]


def in_order(questions: Iterable[Question]) -> list[Question]:
    """Questions by item, axis, reference, order and repeat, so that no result depends on how they were listed."""
    return sorted(questions, key=lambda q: (q.item, q.axis, q.reference, q.perturbation, q.swapped, q.repeat, q.id))


def voting(questions: Iterable[Question]) -> list[Question]:
    """One question for each item, axis and reference: without perturbation, the first order's, the first repeat's."""
    chosen: dict[tuple[str, Axis, str], Question] = {}
    for question in questions:
        key = (question.item, question.axis, question.reference)
        rival = chosen.get(key)
        if question.answer != "pairwise" and (rival is None or _order(question) < _order(rival)):
            chosen[key] = question
    return list(chosen.values())


def is_yes(verdict: Verdict) -> bool:
    """Whether a decided verdict votes yes: a value above 1/2."""
    return verdict.value is not None and verdict.value > 0.5


def probability(verdict: Verdict) -> float:
    """A decided verdict's probability of yes (the middle of its bounds), or its value where there is none."""
    if verdict.p_yes is not None:
        return sum(verdict.p_yes) / 2
    return float(verdict.value or 0.0)


def count_states(verdicts: Iterable[Verdict | None]) -> Counts:
    """How many ended in which state; None is a question that was not run."""
    found: Counter[str] = Counter("not_run" if verdict is None else verdict.state for verdict in verdicts)
    return Counts(**found)


def _order(question: Question) -> tuple[str, bool, int]:
    return question.perturbation, question.swapped, question.repeat


def _score_axis(verdicts: Sequence[Verdict | None]) -> AxisScore:
    decided = [verdict for verdict in verdicts if verdict is not None and verdict.state == "ok"]
    return AxisScore(count_states(verdicts), sum(map(is_yes, decided)), sum(map(probability, decided)))


def _passing(axis: Axis) -> ImageMetric:
    def measure(image: ImageScore) -> Value:
        score = image.axes[axis]
        passes = score.passes()
        return Value(None if passes is None else float(passes), *map(float, score.bounds()))

    return measure


def _mean(axis: Axis, total: Callable[[AxisScore], float]) -> ImageMetric:
    """The mean over an axis' references of what ``total`` sums."""

    def measure(image: ImageScore) -> Value:
        score = image.axes[axis]
        counts, found = score.counts, total(score)
        if not counts.total:
            return Value(None, 0.0, 1.0)
        bounds = found / counts.total, (found + counts.undecided) / counts.total
        return Value(found / counts.ok if counts.ok else None, *bounds)

    return measure


def _both(content: ImageMetric, style: ImageMetric) -> ImageMetric:
    """The product of two metrics; 0 when either is 0, whatever the other."""

    def measure(image: ImageScore) -> Value:
        a, b = content(image), style(image)
        low, high = a.low * b.low, a.high * b.high
        if low == high:
            return Value(low, low, high)
        return Value(None if a.value is None or b.value is None else a.value * b.value, low, high)

    return measure


def _yes(score: AxisScore) -> float:
    return score.yes


def _soft(score: AxisScore) -> float:
    return score.soft


# content, style: the official rule on one axis; mars2: on both. _share: the share of references that say yes.
# soft_: the mean probability of yes instead of the vote; soft_mars2 is the product of both axes.
IMAGE_METRICS: Mapping[str, ImageMetric] = {
    "mars2": _both(_passing("content"), _passing("style")),
    "content": _passing("content"),
    "style": _passing("style"),
    "content_share": _mean("content", _yes),
    "style_share": _mean("style", _yes),
    "joint_share": _both(_mean("content", _yes), _mean("style", _yes)),
    "soft_content": _mean("content", _soft),
    "soft_style": _mean("style", _soft),
    "soft_mars2": _both(_mean("content", _soft), _mean("style", _soft)),
}
