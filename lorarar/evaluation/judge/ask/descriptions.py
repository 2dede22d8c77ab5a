"""Descriptions: one question that asks a model in words what several images have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lorarar.datasets import Axis, load_image, pixel_hash
from lorarar.evaluation.judge.read.text import without_thoughts
from lorarar.evaluation.judge.records import Backend, Question
from lorarar.storage import digest

DESCRIBED_IMAGES = 4  # in one question
# The embedded describer is trained on these texts: it must be trained anew when they change.
DESCRIBE: Mapping[Axis, str] = {
    "content": (
        'These images show the same subject. Describe it in one short phrase that begins with "a" or "an": its main '
        "colour, what it is, its marks. Leave out the background and the style of the images. Answer with the phrase "
        "alone."
    ),
    "style": (
        "These images show different things in the same style. Describe the style in one short phrase that ends with "
        '"style": colours, background, outlines, shading. Leave out what the images show. Answer with the phrase alone.'
    ),
}


def describe_images(backend: Backend, images: Sequence[Path], axis: Axis, option: str) -> str:
    """Return what images have in common, in the words of a model.

    Args:
        backend: A back end that was opened for answers of the form "text".
        images: The images, which one question shows in this order.
        axis: "content" for their subject, "style" for their style.
        option: Name of the setting that takes a description instead, for the error.

    Raises:
        ImageError: An image cannot be read.
        ValueError: The model gave no answer.
    """
    pixels = tuple(pixel_hash(load_image(path)) for path in images)
    text = DESCRIBE[axis]
    key = digest([text, pixels, dict(backend.identity)])
    places = tuple(str(path.resolve()) for path in images)
    (reply,) = backend.ask([Question(key, key, axis, "", "describe", places, pixels, text, "text")])
    words = " ".join(without_thoughts(reply.text).split()).strip(" \"'.*")
    if reply.failure or reply.finish_reason == "length" or not words:
        reason = reply.failure or ("a reply that was cut off" if words else "an empty reply")
        raise ValueError(
            f"expected a description of {len(images)} images in words, found {reason}: give `{option}`, or another "
            "model as `describe`"
        )
    return words
