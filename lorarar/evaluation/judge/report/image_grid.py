"""Grid of images: pairs as rows, references and methods as columns, with all answers about each image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES
from lorarar.evaluation.judge.read.scores import ImageScore, is_yes
from lorarar.evaluation.judge.records import Question, Reply, Verdict
from lorarar.evaluation.judge.report.thumbnails import Thumbnail, Thumbnails
from lorarar.evaluation.judge.trust.consistency import swapped_couples

# What the filter of the page offers, beside all images.
KINDS = {
    "right": "right on both axes",
    "wrong": "wrong on an axis",
    "undecided": "undecided",
    "split": "references disagree",
    "order": "the order changes an answer",
    "unanswered": "with unanswered questions",
}
_REPLY_LENGTH = 1_000  # characters
_REPLY_BUDGET = 1_000_000  # characters of all replies
_PIXELATED = 64  # pixels: images up to this side are enlarged without smoothing


@dataclass(frozen=True)
class Tile:
    """An image in the grid.

    Attributes:
        number: Its position in the details.
        kinds: Keys of `KINDS`.
        caption: The references with the answer yes, of those decided, on both axes.
    """

    number: int
    thumbnail: Thumbnail
    kinds: tuple[str, ...]
    label: str
    caption: str


@dataclass(frozen=True)
class ReferenceTile:
    """A reference, which several rows show."""

    path: str
    thumbnail: Thumbnail


@dataclass(frozen=True)
class PairRow:
    """A pair: numbers of its references, and for each method its images; `share` of the decided ones is right."""

    content: str
    style: str
    share: float
    references: tuple[int, ...]
    cells: tuple[tuple[Tile, ...], ...]


@dataclass(frozen=True)
class ImageGrid:
    """All images.

    Attributes:
        shown: Images with a thumbnail, of `total`.
        counts: Images of each kind, by key of `KINDS`.
        details: Plain data for the page's script: questions, answers, replies and reasons of each image.
    """

    methods: tuple[str, ...]
    references: tuple[ReferenceTile, ...]
    rows: tuple[PairRow, ...]
    shown: int
    total: int
    counts: Mapping[str, int]
    pixelated: bool
    details: Mapping[str, Any]


def build_image_grid(
    images: Sequence[ImageScore],
    questions: Sequence[Question],
    verdicts: Mapping[str, Verdict],
    replies: Mapping[str, Reply],
    *,
    image_root: Path,
    reference_root: Path,
    thumbnails: Thumbnails,
) -> ImageGrid:
    """Lay out judged images, with all questions about each; a short budget leaves out later images of a pair first."""
    by_item: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        by_item[question.item].append(question)
    paths = sorted({question.reference for question in questions})
    references = tuple(ReferenceTile(path, thumbnails.show(reference_root, path)) for path in paths)
    numbers = {path: number for number, path in enumerate(paths)}
    turned = _order_changes(questions, verdicts)
    cells: dict[tuple[str, str], dict[str, list[Tile]]] = defaultdict(lambda: defaultdict(list))
    listed: list[dict[str, Any]] = []
    writer = _Details(verdicts, replies, numbers)
    for image in _by_seed(images):
        item, asked = image.item, by_item[image.item.id]
        tile = Tile(
            len(listed),
            thumbnails.show(image_root, item.path),
            tuple(_kinds(image, item.id in turned)),
            f"{item.method}, {item.content} + {item.style}, seed {item.seed}",
            " ".join(f"{axis[0].upper()} {image.axes[axis].yes}/{image.axes[axis].counts.ok}" for axis in AXES),
        )
        listed.append(writer.describe(image, tile, asked))
        cells[item.content, item.style][item.method].append(tile)
    methods = tuple(sorted({image.item.method for image in images}))
    rows = tuple(_row(pair, [cells[pair][method] for method in methods], listed) for pair in sorted(cells))
    tiles = [tile for row in rows for cell in row.cells for tile in cell]
    return ImageGrid(
        methods,
        references,
        rows,
        shown=sum(bool(tile.thumbnail.uri) for tile in tiles),
        total=len(images),
        counts={kind: sum(kind in tile.kinds for tile in tiles) for kind in KINDS},
        pixelated=thumbnails.largest <= _PIXELATED,
        details={"texts": list(writer.texts), "references": paths, "images": listed, "cut": writer.left <= 0},
    )


def _by_seed(images: Sequence[ImageScore]) -> Iterator[ImageScore]:
    """Yield the first image of every method and pair, then the second ones, and so on."""
    series: dict[tuple[str, str, str], list[ImageScore]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.item.id):
        series[image.item.content, image.item.style, image.item.method].append(image)
    for column in zip_longest(*(series[key] for key in sorted(series))):
        yield from (image for image in column if image is not None)


def _row(pair: tuple[str, str], cells: Sequence[Sequence[Tile]], listed: Sequence[Mapping[str, Any]]) -> PairRow:
    tiles = [tile for cell in cells for tile in cell]
    references = {question[1] for tile in tiles for question in listed[tile.number]["questions"]}
    return PairRow(*pair, _share(tiles), tuple(sorted(references)), tuple(map(tuple, cells)))


def _kinds(image: ImageScore, turned: bool) -> Iterator[str]:
    yield {True: "right", False: "wrong", None: "undecided"}[image.correct]
    if any(0 < axis.yes < axis.counts.ok for axis in image.axes.values()):
        yield "split"
    if turned:
        yield "order"
    if image.counts.undecided:
        yield "unanswered"


def _share(tiles: Sequence[Tile]) -> float:
    """Return the share of right images among the decided ones; -1 where none is decided."""
    right, wrong = (sum(kind in tile.kinds for tile in tiles) for kind in ("right", "wrong"))
    return round(right / (right + wrong), 4) if right + wrong else -1.0


def _order_changes(questions: Sequence[Question], verdicts: Mapping[str, Verdict]) -> set[str]:
    """Return the items with an answer that changes with the order of the images."""
    changed = set()
    for first, second in swapped_couples(questions):
        a, b = verdicts.get(first.id), verdicts.get(second.id)
        if a is not None and b is not None and a.state == b.state == "ok" and is_yes(a) != is_yes(b):
            changed.add(first.item)
    return changed


class _Details:
    """Writer of the details of images, with each text of a question once, and replies up to a budget."""

    def __init__(
        self, verdicts: Mapping[str, Verdict], replies: Mapping[str, Reply], references: Mapping[str, int]
    ) -> None:
        self.texts: dict[str, int] = {}
        self.left = _REPLY_BUDGET
        self._verdicts, self._replies, self._references = verdicts, replies, references

    def describe(self, image: ImageScore, tile: Tile, questions: Sequence[Question]) -> dict[str, Any]:
        """Return an image's title, path, prompt, verdict and questions as plain data."""
        plain = {(q.axis, q.reference): self._answer(q) for q in reversed(questions)}  # the first one votes
        return {
            "title": tile.label,
            "path": image.item.path,
            "prompt": image.item.prompt,
            "verdict": "; ".join(KINDS[kind] for kind in tile.kinds),
            "questions": [self._question(q, plain[q.axis, q.reference]) for q in questions],
        }

    def _question(self, question: Question, vote: str) -> list[Any]:
        """Return axis, numbers of reference and text, way, answer, whether it differs, p(yes), reply and reason."""
        verdict, reply = self._verdicts.get(question.id), self._replies.get(question.id, Reply())
        text, answer = reply.text.strip()[:_REPLY_LENGTH], self._answer(question)
        self.left -= len(text)
        flags = [name for name, value in sorted(verdict.details.items()) if value is True] if verdict else []
        bounds = verdict.p_yes if verdict else None
        return [
            question.axis,
            self._references[question.reference],
            self.texts.setdefault(question.text, len(self.texts)),
            _way(question),
            answer,
            int(answer != vote and "no answer" not in (answer, vote)),
            "" if bounds is None else f"{sum(bounds) / 2:.2f}",
            text if self.left > 0 else "",
            "; ".join(filter(None, (verdict.reason if verdict else "not asked yet", *flags))),
        ]

    def _answer(self, question: Question) -> str:
        verdict = self._verdicts.get(question.id)
        if verdict is None or verdict.state != "ok":
            return "no answer"
        if question.answer == "scale":
            return f"{4 * (verdict.value or 0):g} of 4"
        return "yes" if is_yes(verdict) else "no"


def _way(question: Question) -> str:
    """Describe how a question differs from the one that votes; "" for the latter."""
    ways = ["test image first" if question.swapped else "", f"asked again ({question.repeat})" * bool(question.repeat)]
    return ", ".join(filter(None, (*ways, question.perturbation)))
