"""Thumbnails inside the page, limited in size and number, and the contact sheets of all methods."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from lorarar.datasets import AXES, ImageError, load_image
from lorarar.evaluation.judge.read.scores import ImageScore

SIDE = 80  # pixels
PAGE_BUDGET = 3_000_000  # characters of all figures
_MARKUP = 120  # characters of a figure's own markup, about
_QUALITY = 70

_Row = tuple[str, str, str]  # method, content, style


@dataclass(frozen=True)
class Figure:
    """A thumbnail with a caption.

    Attributes:
        path: The image's path, its text alternative.
        uri: A data URI, "" where the image is not shown.
        reason: The reason why it is not shown.
        verdict: The class of its border: right, wrong or open; "" for none.
    """

    path: str
    caption: str
    title: str
    uri: str = ""
    reason: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class FigureRow:
    """Figures under one title."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class ContactSheets:
    """The figures of all methods.

    Attributes:
        methods: For each method its rows, one for each pair.
        shown: Images that are shown, of `total`.
    """

    methods: tuple[tuple[str, tuple[FigureRow, ...]], ...]
    shown: int
    total: int


@dataclass
class Thumbnails:
    """Thumbnails until a budget is spent.

    Attributes:
        left: Characters that may still be spent.
        omitted: Images that the budget did not allow.
    """

    left: int = PAGE_BUDGET
    omitted: int = 0
    _encoded: dict[tuple[Path, str], tuple[str, str]] = field(default_factory=dict)

    def show(self, root: Path, path: str, caption: str, *, verdict: str = "", title: str = "") -> Figure:
        """Return the figure of an image; it holds a reason where the image is refused or the budget is spent."""
        uri, reason = self._encode(root, path)
        if len(uri) > self.left:
            self.omitted += 1
            uri, reason = "", "not shown: the page would grow too large"
        title = title or path
        self.left -= len(uri) + len(reason) + len(path) + len(caption) + len(title) + _MARKUP
        return Figure(path, caption, title, uri, reason, verdict)

    def _encode(self, root: Path, path: str) -> tuple[str, str]:
        """Return a data URI and "", or "" and the reason why there is none."""
        if (root, path) not in self._encoded:
            try:
                image = load_image(Path(path), root=root, longest=SIDE)
            except ImageError as error:
                self._encoded[root, path] = "", str(error)
            else:
                data = io.BytesIO()
                image.save(data, format="WEBP", quality=_QUALITY, method=4)
                text = base64.b64encode(data.getvalue()).decode("ascii")
                self._encoded[root, path] = f"data:image/webp;base64,{text}", ""
        return self._encoded[root, path]


def verdict_class(image: ImageScore) -> str:
    """Return the class of the border: right, wrong or open."""
    return {True: "right", False: "wrong", None: "open"}[image.correct]


def votes(image: ImageScore) -> str:
    """Write the references with the answer yes, of those decided, on both axes."""
    return " ".join(f"{axis[0].upper()} {image.axes[axis].yes}/{image.axes[axis].counts.ok}" for axis in AXES)


def draw_contact_sheets(images: Sequence[ImageScore], root: Path, thumbnails: Thumbnails) -> ContactSheets:
    """Draw all methods' images by pair; a short budget leaves out the later images of each pair first."""
    rows: dict[_Row, list[ImageScore]] = defaultdict(list)
    for image in images:
        rows[image.item.method, image.item.content, image.item.style].append(image)
    keys = sorted(rows)
    figures: dict[_Row, list[Figure]] = {key: [] for key in keys}
    omitted_before = thumbnails.omitted
    for column in zip_longest(*(rows[key] for key in keys)):
        for key, image in zip(keys, column, strict=True):
            if image is not None and thumbnails.omitted == omitted_before:
                figures[key].append(_figure(image, root, thumbnails))
    methods: dict[str, list[FigureRow]] = defaultdict(list)
    for key in keys:
        methods[key[0]].append(FigureRow(f"{key[1]} + {key[2]}", tuple(figures[key])))
    drawn = sum(map(len, figures.values())) - (thumbnails.omitted - omitted_before)
    return ContactSheets(tuple((name, tuple(pairs)) for name, pairs in methods.items()), drawn, len(images))


def _figure(image: ImageScore, root: Path, thumbnails: Thumbnails) -> Figure:
    item = image.item
    title = f"{item.id}: {item.prompt}"
    return thumbnails.show(root, item.path, votes(image), verdict=verdict_class(image), title=title)
