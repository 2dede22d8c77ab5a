"""Thumbnails inside the page, limited in size and number."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

from lorarar.datasets import ImageError, load_image

PAGE_BUDGET = 3_000_000  # characters of all thumbnails
_SIDES = (256, 192, 128, 96, 72)  # pixels
_PER_PIXEL = 0.25  # characters of a photo's thumbnail for each pixel, about
_QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """A small image.

    Attributes:
        uri: A data URI, "" where the image is not shown.
        reason: The reason why it is not shown.
    """

    uri: str = ""
    reason: str = ""


@dataclass
class Thumbnails:
    """Thumbnails until a budget is spent; each file counts once.

    Attributes:
        side: Longest side in pixels; smaller images keep their size.
        left: Characters that may still be spent.
        largest: Longest side of the thumbnails so far.
    """

    side: int = _SIDES[-1]
    left: int = PAGE_BUDGET
    largest: int = 0
    _shown: dict[tuple[Path, str], Thumbnail] = field(default_factory=dict)

    def show(self, root: Path, path: str) -> Thumbnail:
        """Return an image's thumbnail, or the reason why it is refused or the budget is spent."""
        if (root, path) not in self._shown:
            self._shown[root, path] = self._encode(root, path)
        return self._shown[root, path]

    def _encode(self, root: Path, path: str) -> Thumbnail:
        try:
            image = load_image(Path(path), root=root, longest=self.side)
        except ImageError as error:
            return Thumbnail(reason=str(error))
        data = io.BytesIO()
        image.save(data, format="WEBP", quality=_QUALITY, method=4)
        uri = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
        if len(uri) > self.left:
            return Thumbnail(reason="not shown: the page would grow too large")
        self.left -= len(uri)
        self.largest = max(self.largest, *image.size)
        return Thumbnail(uri)


def fitting_side(count: int) -> int:
    """Return the largest side at which so many photos fit into the budget, in pixels."""
    fitting = (side for side in _SIDES if count * side**2 * _PER_PIXEL < PAGE_BUDGET)
    return next(fitting, _SIDES[-1])
