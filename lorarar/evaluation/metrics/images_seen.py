"""Everything that is to be scored, as the encoders see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lorarar.datasets import AXES, Axis, Item, References
from lorarar.evaluation.metrics.cleaning import clean_prompt
from lorarar.evaluation.metrics.encoders.protocols import Encoder, MapEncoder, TextEncoder
from lorarar.evaluation.metrics.features import Features, Picture, gram_features, image_features
from lorarar.evaluation.metrics.flags import copy_threshold
from lorarar.evaluation.metrics.measures import Array, normalise


@dataclass(frozen=True)
class Encoders:
    """Who sees what. One encoder may have several parts.

    Attributes:
        content: for content fidelity, diversity and copies; style: for style fidelity.
        gram: for Gram losses, where it has feature maps.
        text: for controllability, where there is one and it has texts.
    """

    content: Encoder
    style: Encoder
    gram: Encoder
    text: Encoder | None = None

    def by_part(self) -> dict[str, Encoder]:
        """The encoders by the names of their parts."""
        parts = {"content": self.content, "style": self.style, "gram": self.gram}
        return parts if self.text is None else parts | {"text": self.text}


@dataclass(frozen=True)
class Seen:
    """Features of all images and references; those of refused pictures are missing.

    Attributes:
        root: the items' paths are relative to it.
        grams: Gram matrices as vectors, None where the encoder has no maps; text: None where there is no such encoder.
        texts: unit vectors of prompts, by prompt as it was given.
        threshold: how near to a reference counts as a copy, see `flags.copy_threshold`; None where unknown.
    """

    root: Path
    references: References
    content: Features
    style: Features
    grams: Features | None
    text: Features | None
    texts: Mapping[str, Array]
    threshold: float | None

    def picture(self, item: Item) -> Picture:
        """An item's file."""
        return Picture(self.root, item.path)

    def shown(self, axis: Axis, name: str) -> list[Picture]:
        """The files of a concept's references."""
        return [Picture(self.references.root, path) for path in self.references.concepts[axis, name].images]

    def refusal(self, picture: Picture) -> str:
        """Why an encoder has no features of a picture; "" when all have."""
        all_features = (self.content, self.style, self.grams, self.text)
        return next((f.refused[picture] for f in all_features if f is not None and picture in f.refused), "")


def see(
    items: Sequence[Item],
    references: References,
    root: Path,
    encoders: Encoders,
    *,
    triggers: Iterable[str] = (),
    cache: Path | None = None,
    progress: bool = False,
) -> Seen:
    """Encodes items and their references.

    Args:
        root: the items' paths are relative to it.
        triggers: words that are taken out of prompts, see `lorarar.evaluation.metrics.cleaning`.
        cache: folder of features, see `lorarar.evaluation.metrics.features.image_features`.
    """
    of_items = [Picture(root, item.path) for item in items]
    concepts = sorted({(axis, getattr(item, axis)) for item in items for axis in AXES})
    of_concepts = [Picture(references.root, p) for key in concepts for p in references.concepts[key].images]
    everything, known = [*of_items, *of_concepts], dict[int, Features]()

    def once(encoder: Encoder) -> Features:
        if id(encoder) not in known:
            known[id(encoder)] = image_features(everything, encoder, cache=cache, progress=progress)
        return known[id(encoder)]

    content, style, text = once(encoders.content), once(encoders.style), encoders.text
    grams = None
    if isinstance(encoders.gram, MapEncoder):
        grams = gram_features(everything, encoders.gram, cache=cache, progress=progress)
    texts, of_texts = dict[str, Array](), None
    if isinstance(text, TextEncoder):
        texts, of_texts = _texts({item.prompt for item in items}, triggers, text), once(text)
    sets = [content.of(Picture(references.root, p) for p in references.concepts[key].images) for key in concepts]
    return Seen(root, references, content, style, grams, of_texts, texts, copy_threshold(sets))


def _texts(prompts: Iterable[str], triggers: Iterable[str], encoder: TextEncoder) -> dict[str, NDArray[np.float64]]:
    """Unit vectors of the prompts of which something is left without the triggers."""
    triggers = tuple(triggers)
    cleaned = {prompt: clean_prompt(prompt, triggers) for prompt in sorted(prompts)}
    said = {prompt: text for prompt, text in cleaned.items() if text}
    if not said:
        return {}
    return dict(zip(said, normalise(encoder.encode_texts(list(said.values()))), strict=True))
