"""From manifest, references and rubric to questions, and what asking them would cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from math import ceil
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES, ImageError, Item, ReferenceConcept, References, load_image, pixel_hash, resolve
from lorarar.evaluation.judge.ask.perturbations import REWORDED
from lorarar.evaluation.judge.ask.rubrics.rubric import Rubric
from lorarar.evaluation.judge.records import Question
from lorarar.storage import digest

PAIR_MARK = " | "  # between the ids of two compared items
_TINY_TOKENS = 16  # of an image


@dataclass(frozen=True)
class Shown:
    """An image as a question holds it; `reason`: why it cannot be shown."""

    path: str
    pixels: str = ""
    size: tuple[int, int] = (0, 0)
    reason: str = ""


@dataclass
class Gallery:
    """Decodes every image once.

    Attributes:
        seen: by root and path.
        known: hash of the pixels, width and height by SHA-256 of the file, of images that need not be decoded again.
    """

    seen: dict[tuple[Path, str], Shown] = field(default_factory=dict)
    known: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)

    def show(self, root: Path, relative: str, sha256: str = "") -> Shown:
        """An image below a root, or why it is refused.

        Args:
            sha256: of the file, where it is known to be unchanged.
        """
        key = (root, relative)
        if key not in self.seen:
            self.seen[key] = self._recall(root, relative, sha256) or _show(root, relative)
        return self.seen[key]

    def _recall(self, root: Path, relative: str, sha256: str) -> Shown | None:
        if sha256 not in self.known:
            return None
        pixels, width, height = self.known[sha256]
        return Shown(str(resolve(root, relative)), pixels, (width, height))


@dataclass(frozen=True)
class Plan:
    """What is to be asked.

    Attributes:
        refused: for questions that cannot be asked, by id: why.
        sizes: by a question's image path: width and height as shown, in pixels.
    """

    questions: tuple[Question, ...]
    refused: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Asking:
    """What is the same for all questions of a run.

    Attributes:
        identity: of the back end: part of every question's id.
        swapped: also ask with the test image shown first.
        repeats: how often each question is asked.
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
        images: Sequence[Shown],
        *,
        swapped: bool = False,
        repeat: int = 0,
        perturbation: str = "",
    ) -> Question:
        """One question; `images` in the order reference, test; or reference, A, B."""
        rubric, axis = self.rubric, concept.axis
        if swapped:
            images = [images[0], *reversed(images[1:])] if len(images) > 2 else [*reversed(images)]
        text = rubric.ask(axis, concept, swapped=swapped, reworded=perturbation == REWORDED)
        # An image that cannot be decoded stands for itself alone: nothing is ever asked about it.
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
    changed: Mapping[str, Mapping[str, Path]] | None = None,
) -> Plan:
    """All questions about the items: each against every reference of its content and of its style.

    With a pairwise rubric: every two methods' items of the same pair, seed and prompt type, in both orders.

    Args:
        root: the items' paths are relative to it.
        gallery: keeps decoded sizes and hashes; give the same one to plan several times.
        changed: items that are also asked about under perturbations: see `lorarar.evaluation.judge.ask.perturbations.draw_perturbations`.
    """
    gallery = gallery or Gallery()
    planned: list[tuple[Question, list[Shown]]] = []
    for item, tested in _tests(items, asking):
        for axis in AXES:
            name = tested[0].content if axis == "content" else tested[0].style
            concept = references.concepts[axis, name]
            for reference in concept.images:
                images = [gallery.show(references.root, reference), *(gallery.show(root, t.path) for t in tested)]
                for swapped in (False, True) if asking.swapped or len(tested) > 1 else (False,):
                    for repeat in range(asking.repeats):
                        question = asking.question(item, concept, reference, images, swapped=swapped, repeat=repeat)
                        planned.append((question, images))
                for perturbation, test in _perturbations(item, images[1], asking.rubric, gallery, changed or {}):
                    question = asking.question(item, concept, reference, [images[0], test], perturbation=perturbation)
                    planned.append((question, [images[0], test]))
    return collect(planned)


def _perturbations(
    item: str, plain: Shown, rubric: Rubric, gallery: Gallery, changed: Mapping[str, Mapping[str, Path]]
) -> Iterator[tuple[str, Shown]]:
    if item in changed:
        if rubric.reworded:
            yield REWORDED, plain
        for perturbation, path in changed[item].items():
            yield perturbation, gallery.show(path.parent, path.name)


def collect(planned: Sequence[tuple[Question, Sequence[Shown]]]) -> Plan:
    """A plan of questions and the images that each shows."""
    reasons = {q.id: image.reason for q, images in planned for image in images if image.reason}
    sizes = {image.path: image.size for _, images in planned for image in images}
    return Plan(tuple(question for question, _ in planned), reasons, sizes)


def _tests(items: Sequence[Item], asking: Asking) -> Iterator[tuple[str, tuple[Item, ...]]]:
    if asking.rubric.answer != "pairwise":
        yield from ((item.id, (item,)) for item in items)
        return

    def key(item: Item) -> tuple[str, str, int, str]:
        return item.content, item.style, item.seed, item.prompt_type

    for _, group in groupby(sorted(items, key=lambda item: (key(item), item.method)), key):
        for one, other in combinations(list(group), 2):
            yield f"{one.id}{PAIR_MARK}{other.id}", (one, other)


def _show(root: Path, relative: str) -> Shown:
    try:
        path = resolve(root, relative)
        image = load_image(path)
    except ImageError as error:
        return Shown(relative, reason=str(error))
    return Shown(str(path), pixel_hash(image), image.size)


@dataclass(frozen=True)
class CallEstimate:
    """What a plan asks for. Tokens are rough: servers count in their own ways.

    Attributes:
        calls: questions that are asked at most; equal ones are asked once.
        images: that are shown, over all calls.
        cost: in the price's currency; None without a price.
    """

    calls: int
    images: int
    image_tokens: int
    text_tokens: int
    cost: float | None
    seconds: float

    def describe(self) -> str:
        """One line for people."""
        price = "" if self.cost is None else f", cost {self.cost:.2f}"
        return (
            f"{self.calls} calls, {self.images} images shown, about {self.image_tokens} image and {self.text_tokens} "
            f"text tokens{price}, {self.seconds / 60:.1f} minutes"
        )


def estimate(plan: Plan, *, backend: str, rate: float, price: float | None = None) -> CallEstimate:
    """What asking all questions of a plan takes.

    Args:
        backend: how images count: "openai" tiles of 512 pixels, "transformers" patches of 28 pixels, others as the tiny
            judge has them, which shrinks every image to 32 pixels.
        rate: assumed calls a second.
        price: for a million tokens.
    """
    asked = {question.id: question for question in plan.questions if question.id not in plan.refused}
    kind = backend.partition(":")[0]
    tokens = sum(_image_tokens(plan.sizes[path], kind) for q in asked.values() for path in q.images)
    text = sum(ceil(len(q.text) / 4) + 8 for q in asked.values())
    return CallEstimate(
        calls=len(asked),
        images=sum(len(q.images) for q in asked.values()),
        image_tokens=tokens,
        text_tokens=text,
        cost=None if price is None else (tokens + text) * price / 1e6,
        seconds=len(asked) / rate,
    )


def _image_tokens(size: tuple[int, int], kind: str) -> int:
    if kind == "openai":
        return 85 + 170 * ceil(size[0] / 512) * ceil(size[1] / 512)
    if kind == "transformers":
        return ceil(size[0] / 28) * ceil(size[1] / 28)
    return _TINY_TOKENS
