"""Encoding: features of all images, references and prompts that are to be scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import AXES, Axis, Item, References
from lorarar.evaluation.metrics.cleaning import clean_prompt
from lorarar.evaluation.metrics.encoders.protocols import (
    LimitedTextEncoder,
    MapEncoder,
    TextEncoder,
    VisionEncoder,
)
from lorarar.evaluation.metrics.features import Features, ImageFile, gram_features, image_features
from lorarar.evaluation.metrics.flags import copy_threshold
from lorarar.evaluation.metrics.measures import Float64Array, normalise


@dataclass(frozen=True)
class Encoders:
    """The encoder of each metric; one encoder may serve several.

    Attributes:
        content: Encoder for content fidelity, diversity and copies.
        style: Encoder for style fidelity.
        gram: Encoder for Gram losses, which need feature maps.
        text: Encoder for controllability, which needs texts; None where there is none.
    """

    content: VisionEncoder
    style: VisionEncoder
    gram: VisionEncoder
    text: VisionEncoder | None = None

    def by_part(self) -> dict[str, VisionEncoder]:
        """Return the encoders by part: "content", "style", "gram" and, where there is one, "text"."""
        parts = {"content": self.content, "style": self.style, "gram": self.gram}
        return parts if self.text is None else parts | {"text": self.text}


@dataclass(frozen=True)
class EncodedItems:
    """Features of all images and references; refused images have none.

    Attributes:
        root: Folder that the paths of the items are relative to.
        references: The concepts and their images.
        content: Features by the content encoder.
        style: Features by the style encoder.
        grams: Gram matrices as vectors; None where the encoder has no feature maps.
        text: Features of images by the text encoder; None where there is no such encoder.
        texts: Unit vectors of prompts, by the prompt as the manifest has it.
        threshold: Cosine above which an image is a copy, see `flags.copy_threshold`; None where it is unknown.
        cut: Prompts that are longer than the text encoder reads; their ends were not compared.
    """

    root: Path
    references: References
    content: Features
    style: Features
    grams: Features | None
    text: Features | None
    texts: Mapping[str, Float64Array]
    threshold: float | None
    cut: tuple[str, ...] = ()

    def image(self, item: Item) -> ImageFile:
        """Return the file of an item."""
        return ImageFile(self.root, item.path)

    def references_of(self, axis: Axis, name: str) -> list[ImageFile]:
        """Return the files of the references of a concept."""
        return [ImageFile(self.references.root, path) for path in self.references.concepts[axis, name].images]

    def refusal(self, image: ImageFile) -> str:
        """Return why an encoder has no features of an image; "" when every encoder has some."""
        for features in (self.content, self.style, self.grams, self.text):
            if features is not None and image in features.refused:
                return features.refused[image]
        return ""


def encode_items(
    items: Sequence[Item],
    references: References,
    root: Path,
    encoders: Encoders,
    *,
    triggers: Iterable[str] = (),
    cache: Path | None = None,
) -> EncodedItems:
    """Encode items, the references of their concepts and their prompts.

    Args:
        items: The images to score.
        references: The concepts and their images.
        root: Folder that the paths of the items are relative to.
        encoders: The encoder of each metric.
        triggers: Words that are removed from prompts, see `lorarar.evaluation.metrics.cleaning`.
        cache: Folder of features, see `lorarar.evaluation.metrics.features.image_features`.
    """
    reference_sets = _reference_sets(items, references)
    files = list_files(items, references, root)
    by_encoder: dict[int, Features] = {}

    def encode_once(encoder: VisionEncoder) -> Features:
        if id(encoder) not in by_encoder:
            by_encoder[id(encoder)] = image_features(files, encoder, cache=cache)
        return by_encoder[id(encoder)]

    content, style = encode_once(encoders.content), encode_once(encoders.style)
    grams, text, texts, cut = None, None, dict[str, Float64Array](), list[str]()
    if isinstance(encoders.gram, MapEncoder):
        grams = gram_features(files, encoders.gram, cache=cache)
    if isinstance(encoders.text, TextEncoder):
        cleaned = _clean_prompts({item.prompt for item in items}, triggers)
        texts = _encode_prompts(cleaned, encoders.text)
        cut = _cut_prompts(cleaned, encoders.text)
        text = encode_once(encoders.text)
    threshold = copy_threshold(content.of(reference_set) for reference_set in reference_sets)
    return EncodedItems(root, references, content, style, grams, text, texts, threshold, tuple(cut))


def list_files(items: Sequence[Item], references: References, root: Path) -> list[ImageFile]:
    """Return the files of items, below a folder, and of the references of their concepts."""
    files = [ImageFile(root, item.path) for item in items]
    return files + [file for reference_set in _reference_sets(items, references) for file in reference_set]


def _reference_sets(items: Sequence[Item], references: References) -> list[list[ImageFile]]:
    """Return the files of the references of each concept."""
    concepts = sorted({(axis, getattr(item, axis)) for item in items for axis in AXES})
    return [[ImageFile(references.root, p) for p in references.concepts[key].images] for key in concepts]


def describe_cut(count: int, encoder: VisionEncoder | None) -> str:
    """Return a sentence about prompts that are longer than the text encoder reads; "" for none."""
    if not count or not isinstance(encoder, LimitedTextEncoder):
        return ""
    return (
        f"{count} {'prompt is' if count == 1 else 'prompts are'} longer than the {encoder.longest_text} tokens that "
        f"the text encoder {encoder.name!r} reads: controllability compares the beginning alone; shorten them"
    )


def _clean_prompts(prompts: Iterable[str], triggers: Iterable[str]) -> dict[str, str]:
    """Return the text without triggers of each prompt that is not empty without them."""
    triggers = tuple(triggers)
    cleaned = {prompt: clean_prompt(prompt, triggers) for prompt in sorted(prompts)}
    return {prompt: text for prompt, text in cleaned.items() if text}


def _encode_prompts(cleaned: Mapping[str, str], encoder: TextEncoder) -> dict[str, Float64Array]:
    """Return the unit vector of each prompt."""
    if not cleaned:
        return {}
    return dict(zip(cleaned, normalise(encoder.encode_texts(list(cleaned.values()))), strict=True))


def _cut_prompts(cleaned: Mapping[str, str], encoder: TextEncoder) -> list[str]:
    """Return the prompts that are longer than the encoder reads."""
    if not cleaned or not isinstance(encoder, LimitedTextEncoder):
        return []
    are_cut = encoder.are_cut(list(cleaned.values()))
    return [prompt for prompt, is_cut in zip(cleaned, are_cut, strict=True) if is_cut]
