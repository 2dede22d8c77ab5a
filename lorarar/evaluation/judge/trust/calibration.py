"""Calibration: questions with known answers, made from the references."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image

from lorarar.datasets import Axis, ImageError, ReferenceConcept, References, load_image
from lorarar.evaluation.judge.ask.planning import Asking, Gallery, Plan, PlannedImage, collect_plan
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.trust.altered_copies import ALTERATIONS
from lorarar.evaluation.judge.trust.degenerate_images import DEGENERATE_KINDS, draw_collage, draw_degenerate
from lorarar.evaluation.judge.trust.gate import MIN_DECIDED
from lorarar.storage import atomic_write, write_json

CASES_OF_A_KIND = 16
_COPIES = {"exact_copy", "style_itself", *(kind for kind, _ in ALTERATIONS)}
_Choice = tuple[ReferenceConcept, str, str]  # concept, reference and image, both below the references' root


@dataclass(frozen=True)
class CalibrationCase:
    """A question with a known answer.

    Attributes:
        id: "calibration/<kind>/<axis>/<number>"; the two axes of one collage share kind and number.
        kind: same_subject, same_style (another image of it), style_itself, exact_copy, other_subject, other_style,
            blank, noise, collage, text_card; flipped, cropped, reencoded (an altered copy, of the reference where the
            label is 1).
        label: 1 or 0, the right answer on this axis.
        reference: The reference's path below the references' root.
        image: The absolute path of the test image.
        degenerate: Whether only a wrong yes counts. A collage is wrongly accepted when both axes say yes.
        easy: Whether the test image is a copy of the reference, altered or not: a judge that sees at all says yes.
    """

    id: str
    kind: str
    axis: Axis
    label: int
    reference: str
    image: str
    degenerate: bool
    easy: bool = False


@dataclass(frozen=True)
class Calibration:
    """All cases of a calibration.

    Attributes:
        concepts: The concept of each question, by case id.
        tests: The root of each test image and the path below it, by case id.
    """

    cases: tuple[CalibrationCase, ...]
    concepts: Mapping[str, ReferenceConcept]
    tests: Mapping[str, tuple[Path, str]]


def make_cases(
    references: References,
    folder: Path,
    gallery: Gallery | None = None,
    *,
    limit: int = CASES_OF_A_KIND,
    seed: int = 0,
) -> Calibration:
    """Choose cases at random, at most `limit` of each kind and axis, and draw the degenerate images into a folder.

    Images that exist are kept: for other references or another limit, the folder must be emptied first. Concepts
    without images are skipped. Cases that the references do not allow (another photo of a subject with one photo) are
    left out. Where fewer than five positives or negatives of an axis remain, altered copies join them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    builder = _CaseBuilder(references, folder, gallery or Gallery(), limit, random.Random(seed))
    builder.add_positives()
    builder.add_negatives()
    builder.add_degenerates()
    builder.add_altered()
    return Calibration(tuple(builder.cases), builder.concepts, builder.tests)


def plan_cases(calibration: Calibration, references: References, asking: Asking, gallery: Gallery) -> Plan:
    """Plan one question for each case; none with a pairwise rubric, which does not judge single images."""
    if asking.rubric.answer == "pairwise":
        return collect_plan([])
    planned = []
    for case in calibration.cases:
        images = [gallery.show(references.root, case.reference), gallery.show(*calibration.tests[case.id])]
        question = asking.question(case.id, calibration.concepts[case.id], case.reference, images)
        planned.append((question, images))
    return collect_plan(planned)


def write_calibration(
    path: Path, cases: Sequence[CalibrationCase], questions: Sequence[Question], verdicts: Mapping[str, Verdict]
) -> dict[str, Verdict]:
    """Write every case with its verdict, and return the verdicts by case id."""
    by_case = {question.item: verdicts[question.id] for question in questions}
    entries = []
    for case in cases:
        about = {key: value for key, value in asdict(case).items() if key != "image"}
        verdict = by_case[case.id]
        entries.append({**about, "state": verdict.state, "value": verdict.value, "reason": verdict.reason})
    write_json(path, entries)
    return by_case


@dataclass
class _CaseBuilder:
    """The cases under construction."""

    references: References
    folder: Path
    gallery: Gallery
    limit: int
    lot: random.Random
    cases: list[CalibrationCase] = field(default_factory=list)
    concepts: dict[str, ReferenceConcept] = field(default_factory=dict)
    tests: dict[str, tuple[Path, str]] = field(default_factory=dict)

    def add_positives(self) -> None:
        """Add another image of the same concept, and the reference itself."""
        kinds: tuple[tuple[Axis, str, str], ...] = (
            ("content", "same_subject", "exact_copy"),
            ("style", "same_style", "style_itself"),
        )
        for axis, other, itself in kinds:
            concepts = self._usable(axis)
            self._add(other, 1, [(c, r, i) for c in concepts for r, i in itertools.permutations(c.images, 2)])
            self._add(itself, 1, [(c, r, r) for c in concepts for r in c.images])

    def add_negatives(self) -> None:
        """Add another concept of the same axis, and a concept of the other axis."""
        kinds: tuple[tuple[Axis, Axis, str, str], ...] = (
            ("content", "style", "other_subject", "style_itself"),
            ("style", "content", "other_style", "same_subject"),
        )
        for axis, opposite, other, crossed in kinds:
            of_axis = self._usable(axis)
            foreign = [image for concept in self._usable(opposite) for image in concept.images]
            self._add(other, 0, [(c, r, i) for c, d in _different(axis, of_axis) for r in c.images for i in d.images])
            self._add(crossed, 0, [(c, r, i) for c in of_axis for r in c.images for i in foreign])

    def add_degenerates(self) -> None:
        """Add blanks, noise and text cards on each axis, and collages of a photo and a style image on both axes."""
        axes: tuple[Axis, ...] = ("content", "style")
        choices = {axis: [(c, r) for c in self._usable(axis) for r in c.images] for axis in axes}
        for kind, axis in itertools.product(DEGENERATE_KINDS, axes):
            for number, (concept, reference) in enumerate(self._draw_choices(choices[axis])):
                path = self.folder / f"{kind}_{axis}_{number}.png"
                if not path.exists():
                    _save(draw_degenerate(kind, number, self._readable(reference).size), path)
                self._append(kind, number, 0, concept, reference, (self.folder, path.name))
        pairs = zip(self._draw_choices(choices["content"]), self._draw_choices(choices["style"]), strict=False)
        for number, (content, style) in enumerate(pairs):
            path = self.folder / f"collage_{number}.png"
            if not path.exists():
                _save(draw_collage(Path(self._readable(content[1]).path), Path(self._readable(style[1]).path)), path)
            for concept, reference in (content, style):
                self._append("collage", number, 0, concept, reference, (self.folder, path.name))

    def add_altered(self) -> None:
        """Add altered copies of the test images on each side of an axis that has few cases."""
        sides: tuple[tuple[Axis, int], ...] = (("content", 1), ("style", 1), ("content", 0), ("style", 0))
        for axis, label in sides:
            plain = [c for c in self.cases if (c.axis, c.label) == (axis, label) and not c.degenerate]
            if sum(not case.easy for case in plain) >= MIN_DECIDED:
                continue
            copied = [case for case in plain if case.easy] if label else plain
            choices = [(*alteration, case) for alteration in ALTERATIONS for case in copied]
            for number, (kind, alter, case) in enumerate(choices[: self.limit]):
                root, image = self.tests[case.id]
                path = self.folder / f"{kind}_{axis}_{label}_{number}.png"
                if not path.exists():
                    _save(alter(load_image(Path(self.gallery.show(root, image).path))), path)
                name = f"{label}{number:02d}"
                self._append(kind, name, label, self.concepts[case.id], case.reference, (self.folder, path.name))

    def _readable(self, reference: str) -> PlannedImage:
        image = self.gallery.show(self.references.root, reference)
        if image.reason:
            raise ImageError(f"expected a readable reference image, found {image.reason}")
        return image

    def _usable(self, axis: Axis) -> list[ReferenceConcept]:
        concepts = [self.references.concepts[axis, name] for name in self.references.names(axis)]
        return [concept for concept in concepts if concept.images]

    def _draw_choices(self, choices: Sequence[tuple[ReferenceConcept, str]]) -> list[tuple[ReferenceConcept, str]]:
        """Draw `limit` choices at random; where there are fewer, they repeat."""
        mixed = self.lot.sample(choices, len(choices))
        return list(itertools.islice(itertools.cycle(mixed), self.limit))

    def _add(self, kind: str, label: int, choices: Sequence[_Choice]) -> None:
        for number, (concept, reference, image) in enumerate(self.lot.sample(choices, min(self.limit, len(choices)))):
            self._append(kind, number, label, concept, reference, (self.references.root, image))

    def _append(
        self,
        kind: str,
        number: int | str,
        label: int,
        concept: ReferenceConcept,
        reference: str,
        test: tuple[Path, str],
    ) -> None:
        name = f"calibration/{kind}/{concept.axis}/{number}"
        degenerate = kind in (*DEGENERATE_KINDS, "collage")
        image = str((test[0] / test[1]).absolute())
        easy = bool(label) and kind in _COPIES
        self.cases.append(CalibrationCase(name, kind, concept.axis, label, reference, image, degenerate, easy))
        self.concepts[name], self.tests[name] = concept, test


def _save(image: Image.Image, path: Path) -> None:
    with atomic_write(path, force=True) as temporary:  # a file that exists counts as complete
        image.save(temporary, "PNG", compress_level=1)


def _different(axis: Axis, concepts: Sequence[ReferenceConcept]) -> Iterator[tuple[ReferenceConcept, ReferenceConcept]]:
    """Yield pairs of concepts that certainly differ; two styles with one phrase may be the same style.

    Where all styles share one phrase, the phrase does not identify a style and is ignored.
    """
    phrases_differ = axis == "style" and len({concept.phrase for concept in concepts}) > 1
    for first, second in itertools.permutations(concepts, 2):
        if not (phrases_differ and first.phrase == second.phrase):
            yield first, second
