"""Unlike images: images of another sort than an encoder knows are refused, since it has never learned to see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorarar.datasets import AXES, Item
from lorarar.evaluation.metrics.encoders.protocols import SpecialisedEncoder
from lorarar.evaluation.metrics.encoding import EncodedItems, Encoders
from lorarar.evaluation.metrics.features import Features, ImageFile

_MOST = 2 / 3  # of a set: single images of any sort may be on the wrong side, see experiments/metrics


@dataclass(frozen=True)
class UnlikeImages:
    """How many images of a set are unlike those that an encoder knows.

    Attributes:
        count: Number of these images.
        of: Number of all images of the set that could be read.
    """

    count: int
    of: int

    @property
    def are_most(self) -> bool:
        """Whether they are more than two thirds of the set."""
        return self.count > _MOST * self.of

    def __str__(self) -> str:
        return f"{self.count} of {self.of}"


def count_unlike(
    items: Sequence[Item], encoded: EncodedItems, encoders: Encoders
) -> dict[str, dict[str, UnlikeImages]]:
    """Count the unlike images among the items ("images") and among their references ("references").

    Returns:
        The counts by the encoder's name, then by the set; only encoders that know images of one sort alone are named.
    """
    concepts = sorted({(axis, getattr(item, axis)) for item in items for axis in AXES})
    sets = {
        "images": [encoded.image(item) for item in items],
        "references": [file for axis, name in concepts for file in encoded.references_of(axis, name)],
    }
    parts = (encoders.content, encoded.content), (encoders.style, encoded.style), (encoders.text, encoded.text)
    return {
        encoder.name: {name: _count(encoder, features, files) for name, files in sets.items()}
        for encoder, features in parts
        if isinstance(encoder, SpecialisedEncoder) and features is not None
    }


def check_unlike(unlike: Mapping[str, Mapping[str, UnlikeImages]], *, allowed: bool) -> None:
    """Refuse a set of images that are mostly unlike those that an encoder knows.

    Raises:
        ValueError: More than two thirds of the images or of the references are.
    """
    for name, sets in unlike.items():
        if not allowed and any(counted.are_most for counted in sets.values()):
            raise ValueError(
                f"expected images like those that the encoder {name!r} was trained on, found "
                f"{' and '.join(f'{counted} {of_set}' for of_set, counted in sets.items())} unlike them: it cannot "
                "tell such images apart; use the encoders of the configuration metrics/photos, or set "
                "allow_unlike_images=true for numbers that mean little"
            )


def _count(encoder: SpecialisedEncoder, features: Features, files: Sequence[ImageFile]) -> UnlikeImages:
    rows = features.of(files)
    return UnlikeImages(int(encoder.are_unlike(rows).sum()) if len(rows) else 0, len(rows))
