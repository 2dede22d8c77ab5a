"""Records of data sets: generated images, and concepts with their reference images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["content", "style"]
AXES: tuple[Axis, ...] = ("content", "style")


@dataclass(frozen=True)
class Item:
    """One generated image, a line of the manifest.

    Attributes:
        id: Unique in the manifest.
        path: Relative to the manifest's root, with forward slashes.
        content: The name of the content concept that the image should show.
        style: The name of the style concept that the image should have.
        prompt_type: "combined", or one of the metrics' types.
        sha256: Of the file's bytes in a locked manifest, otherwise "".
    """

    id: str
    path: str
    method: str
    content: str
    style: str
    seed: int
    prompt: str = ""
    prompt_type: str = "combined"
    sha256: str = ""


@dataclass(frozen=True)
class ReferenceConcept:
    """A content or style with its reference images.

    Attributes:
        phrase: Its name in a question: "cat" (content), "oil painting" (style).
        images: Paths relative to the references' root, sorted.
    """

    name: str
    axis: Axis
    phrase: str
    images: tuple[str, ...]
