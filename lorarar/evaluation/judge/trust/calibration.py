"""Questions whose right answer is known without asking anybody: made of the references themselves."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image

from lorarar.datasets import Axis, ImageError, ReferenceConcept, References
from lorarar.evaluation.judge.ask.planning import Asking, Gallery, Plan, PlannedImage, collect_plan
from lorarar.evaluation.judge.records import Question, Verdict
from lorarar.evaluation.judge.trust.degenerate_images import DRAWN, draw_collage, draw_degenerate
from lorarar.storage import write_json

CASES_OF_A_KIND = 16
_Choice = tuple[ReferenceConcept, str, str]  # concept, reference and image, both below the references' root


@dataclass(frozen=True)
class CalibrationCase:
    """A question with a known answer.

    Attributes:
        id: "calibration/<kind>/<axis>/<number>"; the two axes of one collage share kind and number.
        kind: same_subject, same_style (another image of it), style_itself, exact_copy, other_subject, other_style,
            blank, noise, collage, text_card.
        label: 1 or 0, the right answer on this axis.
        reference: path below the references' root; image: absolute path of the test image.
        degenerate: only a wrong yes matters. A collage is accepted wrongly when both axes say yes.
    """

    id: str
    kind: str
    axis: Axis
    label: int
    reference: str
    image: str
    degenerate: bool


@dataclass(frozen=True)
class Calibration:
    """All cases.

    Attributes:
        concepts: by case id: what its question is about.
        tests: by case id: root and path below it of the test image.
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
    """Chooses cases by lot, at most `limit` of each kind and axis, and draws the degenerate images into `folder`.

    Images that are there are kept: for other references or another limit, the folder has to be emptied first.
    Concepts without images are passed over. What the references cannot give (another photo of a subject that has only
    one) is left out; the gate then says that too few cases were decided.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker = _Maker(references, folder, gallery or Gallery(), limit, random.Random(seed))
    maker.add_positives()
    maker.add_negatives()
    maker.add_degenerates()
    return Calibration(tuple(maker.cases), maker.concepts, maker.tests)


def plan_cases(calibration: Calibration, references: References, asking: Asking, gallery: Gallery) -> Plan:
    """One question for each case; none with a pairwise rubric, which has no right answer to a single image."""
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
    """Writes every case with its verdict, and returns the verdicts by the cases' ids."""
    by_case = {question.item: verdicts[question.id] for question in questions}
    entries = []
    for case in cases:
        about = {key: value for key, value in asdict(case).items() if key != "image"}
        found = by_case[case.id]
        entries.append({**about, "state": found.state, "value": found.value, "reason": found.reason})
    write_json(path, entries)
    return by_case


@dataclass
class _Maker:
    """Collects cases."""

    references: References
    folder: Path
    gallery: Gallery
    limit: int
    lot: random.Random
    cases: list[CalibrationCase] = field(default_factory=list)
    concepts: dict[str, ReferenceConcept] = field(default_factory=dict)
    tests: dict[str, tuple[Path, str]] = field(default_factory=dict)

    def add_positives(self) -> None:
        """Another image of the same concept, and the reference itself."""
        kinds: tuple[tuple[Axis, str, str], ...] = (
            ("content", "same_subject", "exact_copy"),
            ("style", "same_style", "style_itself"),
        )
        for axis, other, itself in kinds:
            concepts = self._usable(axis)
            self._add(other, 1, [(c, r, i) for c in concepts for r, i in itertools.permutations(c.images, 2)])
            self._add(itself, 1, [(c, r, r) for c in concepts for r in c.images])

    def add_negatives(self) -> None:
        """Another concept of the same axis; and a photo asked for its style, a style image asked for its subject."""
        kinds: tuple[tuple[Axis, Axis, str, str], ...] = (
            ("content", "style", "other_subject", "style_itself"),
            ("style", "content", "other_style", "same_subject"),
        )
        for axis, opposite, other, crossed in kinds:
            mine = self._usable(axis)
            foreign = [image for concept in self._usable(opposite) for image in concept.images]
            self._add(other, 0, [(c, r, i) for c, d in _different(axis, mine) for r in c.images for i in d.images])
            self._add(crossed, 0, [(c, r, i) for c in mine for r in c.images for i in foreign])

    def add_degenerates(self) -> None:
        """Blanks, noise and text cards on both axes; collages of a photo and a style image on both axes together."""
        axes: tuple[Axis, ...] = ("content", "style")
        choices = {axis: [(c, r) for c in self._usable(axis) for r in c.images] for axis in axes}
        for kind, axis in itertools.product(DRAWN, axes):
            for number, (concept, reference) in enumerate(self._some(choices[axis])):
                path = self.folder / f"{kind}_{axis}_{number}.png"
                if not path.exists():
                    _save(draw_degenerate(kind, number, self._shown(reference).size), path)
                self._append(kind, number, 0, concept, reference, (self.folder, path.name))
        pairs = zip(self._some(choices["content"]), self._some(choices["style"]), strict=False)
        for number, (content, style) in enumerate(pairs):
            path = self.folder / f"collage_{number}.png"
            if not path.exists():
                _save(draw_collage(Path(self._shown(content[1]).path), Path(self._shown(style[1]).path)), path)
            for concept, reference in (content, style):
                self._append("collage", number, 0, concept, reference, (self.folder, path.name))

    def _shown(self, reference: str) -> PlannedImage:
        found = self.gallery.show(self.references.root, reference)
        if found.reason:
            raise ImageError(f"expected a readable reference image, found {found.reason}")
        return found

    def _usable(self, axis: Axis) -> list[ReferenceConcept]:
        known = self.references.concepts
        return [known[axis, name] for name in self.references.names(axis) if known[axis, name].images]

    def _some(self, choices: Sequence[tuple[ReferenceConcept, str]]) -> list[tuple[ReferenceConcept, str]]:
        """`limit` choices by lot; each again and again where there are fewer."""
        mixed = self.lot.sample(choices, len(choices))
        return list(itertools.islice(itertools.cycle(mixed), self.limit))

    def _add(self, kind: str, label: int, choices: Sequence[_Choice]) -> None:
        for number, (concept, reference, image) in enumerate(self.lot.sample(choices, min(self.limit, len(choices)))):
            self._append(kind, number, label, concept, reference, (self.references.root, image))

    def _append(
        self, kind: str, number: int, label: int, concept: ReferenceConcept, reference: str, test: tuple[Path, str]
    ) -> None:
        name = f"calibration/{kind}/{concept.axis}/{number}"
        degenerate = kind in (*DRAWN, "collage")
        image = str((test[0] / test[1]).absolute())
        self.cases.append(CalibrationCase(name, kind, concept.axis, label, reference, image, degenerate))
        self.concepts[name], self.tests[name] = concept, test


def _save(image: Image.Image, path: Path) -> None:
    """Whole or not at all: what is there is taken to be whole."""
    part = path.with_suffix(".part")
    image.save(part, "PNG", compress_level=1)
    part.replace(path)


def _different(axis: Axis, concepts: Sequence[ReferenceConcept]) -> Iterator[tuple[ReferenceConcept, ReferenceConcept]]:
    """Pairs of concepts that are known to differ: not two styles of one phrase, where phrases tell styles apart."""
    telling = axis == "style" and len({concept.phrase for concept in concepts}) > 1
    for one, other in itertools.permutations(concepts, 2):
        if not (telling and one.phrase == other.phrase):
            yield one, other
