"""Image encoding for servers: PNG in a data URI, encoded once for all threads."""

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

_CACHE_SIZE = 128  # images; references repeat


def data_uri(image: Image.Image) -> str:
    """Encode an image as PNG in a data URI, without loss."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)  # as small as usual, and faster
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class ImageEncoder:
    """A cache of the most recently encoded images, checked against the planned pixels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str], Future[str]] = OrderedDict()

    def encode(self, path: str, pixels: str) -> str:
        """Return the data URI of an image.

        Args:
            pixels: The hash of its pixels, see `lorarar.datasets.images.load_planned`.

        Raises:
            ImageError: The image is refused, or it has changed.
        """
        key = (path, pixels)
        with self._lock:
            cached = self._cache.get(key)
            if cached is not None:
                self._cache.move_to_end(key)
            else:
                future = self._cache[key] = Future()
                if len(self._cache) > _CACHE_SIZE:
                    self._cache.popitem(last=False)
        if cached is not None:
            return cached.result()
        try:
            future.set_result(data_uri(load_planned(path, pixels)))
        except Exception as error:
            future.set_exception(error)
            with self._lock:
                self._cache.pop(key, None)  # the file may be readable again later
        return future.result()


def load_question_images(question: Question) -> list[Image.Image]:
    """Load all images of a question, see `lorarar.datasets.images.load_planned`."""
    return [load_planned(path, pixels) for path, pixels in zip(question.images, question.pixels, strict=True)]
