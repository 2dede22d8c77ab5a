"""The images on which the judge is least sure of itself, beside their references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorarar.evaluation.judge.read.scores import ImageScore, is_yes, voting
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.report.thumbnails import Thumbnails, verdict_class, votes
from lorarar.evaluation.judge.trust.consistency import swapped_couples
from lorarar.evaluation.report.html import Markup, element

SHOWN = 8  # images of each kind
_REFERENCES = 6


def disagreements(
    images: Sequence[ImageScore],
    questions: Sequence[Question],
    verdicts: Mapping[str, Verdict],
    *,
    image_root: Path,
    reference_root: Path,
    thumbnails: Thumbnails,
) -> Markup:
    """Images whose references split, whose answers change with the order, and with the most undecided questions."""
    asked: dict[str, list[Question]] = defaultdict(list)
    for question in voting(questions):
        asked[question.item].append(question)
    kinds = (
        ("References disagree", {image.item.id: _split(image) for image in images}),
        ("The order of the images changes the answer", _turned(questions, verdicts)),
        ("Most undecided questions", {image.item.id: image.counts.undecided for image in images}),
    )
    sections: list[Markup] = []
    for title, weights in kinds:
        ranked = sorted((i for i in images if weights.get(i.item.id)), key=lambda i: (-weights[i.item.id], i.item.id))
        sections.append(element("h3", f"{title}: {len(ranked)} images"))
        for image in ranked[:SHOWN]:
            shown = thumbnails.show(image_root, image.item.path, votes(image), class_=verdict_class(image))
            references = [
                thumbnails.show(reference_root, q.reference, *_said(q, verdicts))
                for q in asked[image.item.id][:_REFERENCES]
            ]
            sections.append(element("div", f"{image.item.id} ({image.item.method})", class_="small"))
            sections.append(element("div", shown, *references, class_="sheet"))
    return element("section", element("h2", "Disagreements"), *sections)


def _split(image: ImageScore) -> int:
    """Votes in the minority, over both axes."""
    return sum(min(axis.yes, axis.counts.ok - axis.yes) for axis in image.axes.values())


def _turned(questions: Sequence[Question], verdicts: Mapping[str, Verdict]) -> dict[str, int]:
    """For each item how many answers change with the order of the images."""
    found: dict[str, int] = defaultdict(int)
    for first, second in swapped_couples(questions):
        a, b = verdicts.get(first.id), verdicts.get(second.id)
        if a is not None and b is not None and a.state == b.state == "ok":
            found[first.item] += is_yes(a) != is_yes(b)
    return found


def _said(question: Question, verdicts: Mapping[str, Verdict]) -> tuple[str]:
    verdict = verdicts.get(question.id)
    if verdict is None:
        return (f"{question.axis}: not run",)
    if verdict.state != "ok":
        return (f"{question.axis}: {verdict.state}: {verdict.reason}"[:80],)
    return (f"{question.axis}: {'yes' if is_yes(verdict) else 'no'}",)
