"""Encoding: the features of items, references and prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lorarar.datasets.records import Item
from lorarar.datasets.references import References
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders, encode_items
from lorarar.evaluation.metrics.features import ImageFile
from lorarar.evaluation.metrics.flags import copy_threshold
from tests.evaluation.metrics.hash_encoder import HashEncoder


def test_encoders_are_listed_by_part() -> None:
    a, b = HashEncoder("a"), HashEncoder("b")
    assert Encoders(a, b, a).by_part() == {"content": a, "style": b, "gram": a}
    assert Encoders(a, b, a, b).by_part()["text"] is b


def test_items_references_and_prompts_are_encoded(toy_folder: Path, references: References, items: list[Item]) -> None:
    chosen, encoder = items[:2], HashEncoder()
    encoded = encode_items(
        chosen, references, toy_folder / "images", Encoders(encoder, encoder, encoder, encoder), triggers=["sks"]
    )
    assert encoded.content is encoded.style is encoded.text  # one encoder encodes each file once
    assert encoded.grams is None  # this encoder has no feature maps
    of_content = encoded.references_of("content", chosen[0].content)
    of_style = encoded.references_of("style", chosen[0].style)
    assert set(encoded.content.rows) == {*map(encoded.image, chosen), *of_content, *of_style}
    (prompt,) = {item.prompt for item in chosen}
    expected = encoder.encode_texts(["a cat in szn style"])[0].astype(float)
    assert np.allclose(encoded.texts[prompt], expected / np.linalg.norm(expected))
    assert encoded.threshold == copy_threshold([encoded.content.of(of_content), encoded.content.of(of_style)])


def test_a_prompt_of_triggers_alone_is_not_encoded(toy_folder: Path, references: References, items: list[Item]) -> None:
    encoder = HashEncoder()
    encoders = Encoders(encoder, encoder, encoder, encoder)
    encoded = encode_items(items[:1], references, toy_folder / "images", encoders, triggers=[items[0].prompt, "unused"])
    assert encoded.texts == {}


def test_any_encoder_can_refuse_an_image(toy_folder: Path, references: References, items: list[Item]) -> None:
    pixels = load_encoder("pixels")
    encoded = encode_items(items[:1], references, toy_folder / "images", Encoders(pixels, pixels, pixels))
    file = ImageFile(toy_folder, "other.png")
    assert encoded.refusal(file) == ""
    assert encoded.grams is not None
    encoded.grams.refused[file] = "too small"
    assert encoded.refusal(file) == "too small"
