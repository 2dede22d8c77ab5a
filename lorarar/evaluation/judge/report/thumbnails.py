"""Thumbnails inside the page, bounded in size and number, and the contact sheets made of them."""

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
from lorarar.evaluation.report.html import Markup, element

SIDE = 80  # pixels
BUDGET = 3_000_000  # characters of all figures
_QUALITY = 70


@dataclass
class Thumbnails:
    """Makes thumbnails until the budget is spent.

    Attributes:
        left: characters that may still be spent; cut: how many pictures were left out for want of them.
    """

    left: int = BUDGET
    cut: int = 0
    _made: dict[tuple[Path, str], tuple[str, str]] = field(default_factory=dict)

    def show(self, root: Path, path: str, caption: str, *, class_: str = "", title: str = "") -> Markup:
        """A picture with a caption; why there is none, where there is none."""
        uri, reason = self._encode(root, path)
        if len(uri) > self.left:
            self.cut += 1
            uri, reason = "", "not shown: the page would grow too large"
        picture = element("img", src=uri, alt=path) if uri else element("div", reason, class_="none")
        figure = element("figure", picture, element("figcaption", caption), class_=class_, title=title or path)
        self.left -= len(figure)
        return figure

    def _encode(self, root: Path, path: str) -> tuple[str, str]:
        """A data URI, or "" and why not."""
        if (root, path) not in self._made:
            try:
                image = load_image(Path(path), root=root, longest=SIDE)
            except ImageError as error:
                self._made[root, path] = "", str(error)
            else:
                data = io.BytesIO()
                image.save(data, format="WEBP", quality=_QUALITY, method=4)
                text = base64.b64encode(data.getvalue()).decode("ascii")
                self._made[root, path] = f"data:image/webp;base64,{text}", ""
        return self._made[root, path]


def verdict_class(image: ImageScore) -> str:
    """The class of the border: right, wrong or open."""
    return {True: "right", False: "wrong", None: "open"}[image.correct]


def votes(image: ImageScore) -> str:
    """How many references said yes, of how many decided, on both axes."""
    return " ".join(f"{axis[0].upper()} {image.axes[axis].yes}/{image.axes[axis].counts.ok}" for axis in AXES)


def contact_sheets(images: Sequence[ImageScore], root: Path, thumbnails: Thumbnails) -> Markup:
    """All methods' images by pair; where the budget is short, each pair's later images are left out first."""
    by_row: dict[tuple[str, str, str], list[ImageScore]] = defaultdict(list)
    for image in images:
        by_row[image.item.method, image.item.content, image.item.style].append(image)
    figures: dict[tuple[str, str, str], list[Markup]] = defaultdict(list)
    keys = sorted(by_row)
    for column in zip_longest(*(by_row[key] for key in keys)):
        for key, image in zip(keys, column, strict=True):
            if image is not None and not thumbnails.cut:
                figures[key].append(_figure(image, root, thumbnails))
    legend = element(
        "p",
        *(element("span", name, class_=class_) for name, class_ in (("right", "good"), ("wrong", "bad"))),
        "dashed: undecided. C and S: references that say yes, of those decided, on content and style.",
        class_="legend small",
    )
    parts: list[Markup] = []
    for method in sorted({key[0] for key in keys}):
        parts.append(element("h3", method))
        for key in (key for key in keys if key[0] == method):
            parts.append(element("div", f"{key[1]} + {key[2]}", class_="small"))
            parts.append(element("div", figures[key], class_="sheet"))
    drawn = sum(map(len, figures.values())) - thumbnails.cut
    count = [element("p", f"{drawn} of {len(images)} images are shown.", class_="small")] if drawn < len(images) else []
    return element("section", element("h2", "Images"), legend, *count, *parts)


def _figure(image: ImageScore, root: Path, thumbnails: Thumbnails) -> Markup:
    item = image.item
    return thumbnails.show(
        root, item.path, votes(image), class_=verdict_class(image), title=f"{item.id}: {item.prompt}"
    )
