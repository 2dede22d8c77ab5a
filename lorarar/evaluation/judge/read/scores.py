"""Scores of images: votes on both axes, with undecided questions counted separately."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lorarar.datasets import AXES, Axis, Item
from lorarar.evaluation.judge.records import Question, Verdict


@dataclass(frozen=True)
class Counts:
    """The number of questions in each state."""

    ok: int = 0
    abstain: int = 0
    error: int = 0
    invalid_input: int = 0
    not_run: int = 0

    @property
    def total(self) -> int:
        """The number of all questions."""
        return self.ok + self.undecided

    @property
    def undecided(self) -> int:
        """The number of questions without a vote."""
        return self.abstain + self.error + self.invalid_input + self.not_run

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__dict__})


@dataclass(frozen=True)
class AxisScore:
    """One image on one axis, with one vote for each reference.

    Attributes:
        yes: The number of references with the vote yes.
        soft: The sum over decided references of the probability of yes, or of the value without probabilities.
    """

    counts: Counts
    yes: int
    soft: float

    def passes(self) -> bool | None:
        """Return whether more than half of the references vote yes; None when undecided ones could change it."""
        worst, best = self.bounds()
        return worst if worst == best else None

    def bounds(self) -> tuple[bool, bool]:
        """Return whether the axis passes if all undecided references vote no, and if all vote yes."""
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
        """The counts of both axes' questions."""
        return self.axes["content"].counts + self.axes["style"].counts

    @property
    def correct(self) -> bool | None:
        """Whether both axes pass; None when undecided questions could change this."""
        passes = [self.axes[axis].passes() for axis in AXES]
        if False in passes:
            return False
        return None if None in passes else True


@dataclass(frozen=True)
class Value:
    """An image's value of a metric (None when undecided), and its bounds with undecided questions at 0 and at 1."""

    value: float | None
    low: float
    high: float


ImageMetric = Callable[[ImageScore], Value]


def score_images(
    items: Iterable[Item], questions: Iterable[Question], verdicts: Mapping[str, Verdict]
) -> list[ImageScore]:
    """Compute the score of each item, in the items' order.

    A reference has one vote: that of its question in the first order and of its first repeat. Other orders and repeats
    measure the judge's consistency (`lorarar.evaluation.judge.trust.consistency`) and do not vote. A question without a
    verdict is "not_run". Pairwise questions are ignored.
    """
    votes: dict[tuple[str, Axis], list[Verdict | None]] = defaultdict(list)
    for question in voting(questions):
        votes[question.item, question.axis].append(verdicts.get(question.id))
    return [ImageScore(item, {axis: _score_axis(votes[item.id, axis]) for axis in AXES}) for item in items]


def in_order(questions: Iterable[Question]) -> list[Question]:
    """Sort questions by item, axis, reference, order and repeat, so that results do not depend on their order."""
    return sorted(questions, key=lambda q: (q.item, q.axis, q.reference, q.perturbation, q.swapped, q.repeat, q.id))


def voting(questions: Iterable[Question]) -> list[Question]:
    """Return the question that votes for each item, axis and reference: unperturbed, first order, first repeat."""
    chosen: dict[tuple[str, Axis, str], Question] = {}
    for question in questions:
        key = (question.item, question.axis, question.reference)
        rival = chosen.get(key)
        if question.answer != "pairwise" and (rival is None or _order(question) < _order(rival)):
            chosen[key] = question
    return list(chosen.values())


def is_yes(verdict: Verdict) -> bool:
    """Return whether a decided verdict votes yes: its value is above 1/2."""
    return verdict.value is not None and verdict.value > 0.5


def probability(verdict: Verdict) -> float:
    """Return a decided verdict's probability of yes (the middle of its bounds), or its value without bounds."""
    if verdict.p_yes is not None:
        return sum(verdict.p_yes) / 2
    return float(verdict.value or 0.0)


def count_states(verdicts: Iterable[Verdict | None]) -> Counts:
    """Count the verdicts in each state; None counts as "not_run"."""
    counts: Counter[str] = Counter("not_run" if verdict is None else verdict.state for verdict in verdicts)
    return Counts(**counts)


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
    """Return the metric of a mean over an axis' references, given the function of their sum."""

    def measure(image: ImageScore) -> Value:
        score = image.axes[axis]
        counts, summed = score.counts, total(score)
        if not counts.total:
            return Value(None, 0.0, 1.0)
        bounds = summed / counts.total, (summed + counts.undecided) / counts.total
        return Value(summed / counts.ok if counts.ok else None, *bounds)

    return measure


def _product(content: ImageMetric, style: ImageMetric) -> ImageMetric:
    """Return the product of two metrics; it is 0 when either is 0, even if the other is undecided."""

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


# content, style: the majority rule on one axis; mars2: on both axes. _share: the share of references that vote yes.
# soft_: the mean probability of yes instead of the vote; soft_mars2: the product of both axes.
IMAGE_METRICS: Mapping[str, ImageMetric] = {
    "mars2": _product(_passing("content"), _passing("style")),
    "content": _passing("content"),
    "style": _passing("style"),
    "content_share": _mean("content", _yes),
    "style_share": _mean("style", _yes),
    "joint_share": _product(_mean("content", _yes), _mean("style", _yes)),
    "soft_content": _mean("content", _soft),
    "soft_style": _mean("style", _soft),
    "soft_mars2": _product(_mean("content", _soft), _mean("style", _soft)),
}
