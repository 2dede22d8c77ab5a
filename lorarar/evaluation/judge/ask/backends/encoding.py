"""Images as servers take them: PNG in a data URI, each made once although many threads ask for it."""

from __future__ import annotations

import base64
import io
import threading
import zlib
from collections import OrderedDict
from concurrent.futures import Future

from PIL import Image

from lorarar.datasets import load_planned
from lorarar.evaluation.judge.records import Question

_KEPT = 128  # images: references come again and again


def data_uri(image: Image.Image) -> str:
    """The image's pixels, unchanged."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)  # as small as usual, and faster
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class ImageEncoder:
    """Keeps the last images that were encoded. What is kept are the pixels that a question was planned with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Future[str]] = OrderedDict()

    def encode(self, path: str, pixels: str) -> str:
        """The data URI of an image.

        Args:
            pixels: the hash of its pixels, see `lorarar.datasets.images.load_planned`.

        Raises:
            ImageError: it is refused, or was changed.
        """
        key = (path, pixels)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            else:
                future = self._known[key] = Future()
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        if known is not None:
            return known.result()
        try:
            future.set_result(data_uri(load_planned(path, pixels)))
        except Exception as error:
            future.set_exception(error)
            with self._lock:
                self._known.pop(key, None)  # it may be there again later
        return future.result()


def load_shown(question: Question) -> list[Image.Image]:
    """All images of a question, see `load_planned`."""
    return [load_planned(*shown) for shown in zip(question.images, question.pixels, strict=True)]
