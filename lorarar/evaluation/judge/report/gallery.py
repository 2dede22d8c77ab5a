"""Gallery: the images on which the judge is least certain, beside their references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.evaluation.judge.read.scores import ImageScore, is_yes, voting
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.report.thumbnails import FigureRow, Thumbnails, verdict_class, votes
from lorarar.evaluation.judge.trust.consistency import swapped_couples

_IMAGES = 8  # of each kind
_REFERENCES = 6  # beside an image
_REASON_LENGTH = 80  # characters


@dataclass(frozen=True)
class Disagreement:
    """One kind of uncertain images.

    Attributes:
        count: How many there are; the first of them are in `images`.
        images: Each with its references.
    """

    title: str
    count: int
    images: tuple[FigureRow, ...]


def find_disagreements(
    images: Sequence[ImageScore],
    questions: Sequence[Question],
    verdicts: Mapping[str, Verdict],
    *,
    image_root: Path,
    reference_root: Path,
    thumbnails: Thumbnails,
) -> tuple[Disagreement, ...]:
    """Find images with split references, with answers that depend on the order, and with undecided questions."""
    by_item: dict[str, list[Question]] = defaultdict(list)
    for question in voting(questions):
        by_item[question.item].append(question)

    def show(image: ImageScore) -> FigureRow:
        figures = [thumbnails.show(image_root, image.item.path, votes(image), verdict=verdict_class(image))]
        for question in by_item[image.item.id][:_REFERENCES]:
            figures.append(thumbnails.show(reference_root, question.reference, _answer(question, verdicts)))
        return FigureRow(f"{image.item.id} ({image.item.method})", tuple(figures))

    kinds = (
        ("References disagree", {image.item.id: _minority(image) for image in images}),
        ("The order of the images changes the answer", _changes_with_order(questions, verdicts)),
        ("Most undecided questions", {image.item.id: image.counts.undecided for image in images}),
    )
    disagreements = []
    for title, weights in kinds:
        ranked = _rank(images, weights)
        disagreements.append(Disagreement(title, len(ranked), tuple(map(show, ranked[:_IMAGES]))))
    return tuple(disagreements)


def _rank(images: Sequence[ImageScore], weights: Mapping[str, int]) -> list[ImageScore]:
    """Return the images with a positive weight, the largest first."""
    weighted = [image for image in images if weights.get(image.item.id)]
    return sorted(weighted, key=lambda image: (-weights[image.item.id], image.item.id))


def _minority(image: ImageScore) -> int:
    """Count the votes in the minority, over both axes."""
    return sum(min(axis.yes, axis.counts.ok - axis.yes) for axis in image.axes.values())


def _changes_with_order(questions: Sequence[Question], verdicts: Mapping[str, Verdict]) -> dict[str, int]:
    """Count for each item the answers that change with the order of the images."""
    changes: dict[str, int] = defaultdict(int)
    for first, second in swapped_couples(questions):
        a, b = verdicts.get(first.id), verdicts.get(second.id)
        if a is not None and b is not None and a.state == b.state == "ok":
            changes[first.item] += is_yes(a) != is_yes(b)
    return changes


def _answer(question: Question, verdicts: Mapping[str, Verdict]) -> str:
    verdict = verdicts.get(question.id)
    if verdict is None:
        return f"{question.axis}: not run"
    if verdict.state != "ok":
        return f"{question.axis}: {verdict.state}: {verdict.reason}"[:_REASON_LENGTH]
    return f"{question.axis}: {'yes' if is_yes(verdict) else 'no'}"
