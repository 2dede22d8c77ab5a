"""Planning: from a manifest, references and a rubric to questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES, ImageError, Item, ReferenceConcept, References, load_image, pixel_hash, resolve_path
from lorarar.evaluation.judge.ask.perturbations import REWORDED
from lorarar.evaluation.judge.ask.rubrics.rubric import Rubric
from lorarar.evaluation.judge.records import Question
from lorarar.storage import digest

PAIR_MARK = " | "  # between the ids of two compared items


@dataclass(frozen=True)
class PlannedImage:
    """An image of a question.

    Attributes:
        pixels: The hash of its pixels.
        size: Width and height in pixels.
        reason: The reason why it is refused, "" where it is not.
    """

    path: str
    pixels: str = ""
    size: tuple[int, int] = (0, 0)
    reason: str = ""


@dataclass
class Gallery:
    """All images of a run, each decoded once.

    Attributes:
        images: By root and relative path.
        recorded: Hash of the pixels, width and height by the file's SHA-256, for images that an earlier plan decoded.
    """

    images: dict[tuple[Path, str], PlannedImage] = field(default_factory=dict)
    recorded: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)

    def show(self, root: Path, relative: str, sha256: str = "") -> PlannedImage:
        """Return an image below a root, or the reason why it is refused.

        Args:
            sha256: Of the file, if it is unchanged since the plan; "" decodes the image.
        """
        key = (root, relative)
        if key not in self.images:
            self.images[key] = self._recall(root, relative, sha256) or _decode(root, relative)
        return self.images[key]

    def _recall(self, root: Path, relative: str, sha256: str) -> PlannedImage | None:
        if sha256 not in self.recorded:
            return None
        pixels, width, height = self.recorded[sha256]
        return PlannedImage(str(resolve_path(root, relative)), pixels, (width, height))


@dataclass(frozen=True)
class Plan:
    """The questions to ask.

    Attributes:
        refused: The reasons why questions cannot be asked, by question id.
        sizes: Width and height in pixels of each question's images, by path.
    """

    questions: tuple[Question, ...]
    refused: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]

    def of(self, chosen: Callable[[Question], bool]) -> Plan:
        """Return the plan of the questions that a function chooses."""
        return replace(self, questions=tuple(filter(chosen, self.questions)))


@dataclass(frozen=True)
class Asking:
    """The settings that all questions of a run share.

    Attributes:
        identity: Of the back end: part of every question's id.
        swapped: Also ask with the test image first.
        repeats: How often each question is asked.
    """

    rubric: Rubric
    identity: Mapping[str, Any]
    swapped: bool = False
    repeats: int = 1

    def question(
        self,
        item: str,
        concept: ReferenceConcept,
        reference: str,
        images: Sequence[PlannedImage],
        *,
        swapped: bool = False,
        repeat: int = 0,
        perturbation: str = "",
    ) -> Question:
        """Build one question.

        Args:
            images: In the order reference, test; or reference, A, B.
        """
        rubric, axis = self.rubric, concept.axis
        if swapped:
            images = [images[0], *reversed(images[1:])] if len(images) > 2 else [*reversed(images)]
        text = rubric.ask(axis, concept, swapped=swapped, reworded=perturbation == REWORDED)
        # A refused image has no pixels to identify it; its path keeps such questions apart. They are never asked.
        pixels = [image.pixels or f"{item}:{image.path}" for image in images]
        parts = (rubric.key, text, rubric.answer, axis, pixels, swapped, repeat, dict(self.identity))
        return Question(
            id=digest(parts),
            item=item,
            axis=axis,
            reference=reference,
            rubric=rubric.key,
            images=tuple(image.path for image in images),
            pixels=tuple(image.pixels for image in images),
            text=text,
            answer=rubric.answer,
            swapped=swapped,
            repeat=repeat,
            perturbation=perturbation,
        )


def plan_questions(
    items: Sequence[Item],
    references: References,
    asking: Asking,
    *,
    root: Path,
    gallery: Gallery | None = None,
    perturbed: Mapping[str, Mapping[str, Path]] | None = None,
) -> Plan:
    """Plan all questions about items: each item against every reference of its content and of its style.

    With a pairwise rubric, plan every two methods' items of the same pair, seed and prompt type, in both orders.

    Args:
        root: The items' paths are relative to it.
        gallery: The decoded images; pass the same one to plan several times.
        perturbed: The perturbed images by item id and perturbation, see
            `lorarar.evaluation.judge.ask.perturbations.draw_perturbations`.
    """
    gallery = gallery or Gallery()
    planned: list[tuple[Question, list[PlannedImage]]] = []
    for item, tested in _tests(items, asking):
        orders = (False, True) if asking.swapped or len(tested) > 1 else (False,)
        for axis in AXES:
            name = tested[0].content if axis == "content" else tested[0].style
            concept = references.concepts[axis, name]
            for reference in concept.images:
                images = [gallery.show(references.root, reference), *(gallery.show(root, t.path) for t in tested)]
                for swapped in orders:
                    for repeat in range(asking.repeats):
                        question = asking.question(item, concept, reference, images, swapped=swapped, repeat=repeat)
                        planned.append((question, images))
                for perturbation, test in _perturb(item, images[1], asking.rubric, gallery, perturbed or {}):
                    pair = [images[0], test]
                    question = asking.question(item, concept, reference, pair, perturbation=perturbation)
                    planned.append((question, pair))
    return collect_plan(planned)


def collect_plan(planned: Sequence[tuple[Question, Sequence[PlannedImage]]]) -> Plan:
    """Collect questions with their images into a plan."""
    reasons = {q.id: image.reason for q, images in planned for image in images if image.reason}
    sizes = {image.path: image.size for _, images in planned for image in images}
    return Plan(tuple(question for question, _ in planned), reasons, sizes)


def _perturb(
    item: str, plain: PlannedImage, rubric: Rubric, gallery: Gallery, perturbed: Mapping[str, Mapping[str, Path]]
) -> Iterator[tuple[str, PlannedImage]]:
    """Yield the perturbations of an item with their test images."""
    if item in perturbed:
        if rubric.reworded:
            yield REWORDED, plain
        for perturbation, path in perturbed[item].items():
            yield perturbation, gallery.show(path.parent, path.name)


def _tests(items: Sequence[Item], asking: Asking) -> Iterator[tuple[str, tuple[Item, ...]]]:
    """Yield each item, or with a pairwise rubric each two compared items, with the id for their questions."""
    if asking.rubric.answer != "pairwise":
        yield from ((item.id, (item,)) for item in items)
        return

    def key(item: Item) -> tuple[str, str, int, str]:
        return item.content, item.style, item.seed, item.prompt_type

    for _, group in groupby(sorted(items, key=lambda item: (key(item), item.method)), key):
        for first, second in combinations(list(group), 2):
            yield f"{first.id}{PAIR_MARK}{second.id}", (first, second)


def _decode(root: Path, relative: str) -> PlannedImage:
    try:
        path = resolve_path(root, relative)
        image = load_image(path)
    except ImageError as error:
        return PlannedImage(relative, reason=str(error))
    return PlannedImage(str(path), pixel_hash(image), image.size)
