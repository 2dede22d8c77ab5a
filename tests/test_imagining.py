"""lorarar.imagining: the base draws what words describe, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from lorarar.backbone import Backbone
from lorarar.concepts import Concept, Pair
from lorarar.generation import Sampling, generate
from lorarar.imagining import imagine

SAMPLING = Sampling(steps=2, guidance=2.0)


def test_each_pair_is_drawn_from_its_own_words_and_kept(
    backbone: Backbone, concepts: dict[str, Concept], tmp_path: Path
) -> None:
    content, style = concepts["train_content_00"], concepts["train_style_00"]
    other = replace(concepts["train_content_01"], description="a blue car with black cross")
    pairs = [Pair(content, style), Pair(other, style)]
    found = imagine(backbone, pairs, cache=tmp_path / "drawn.safetensors", sampling=SAMPLING)
    words = ["a red cat with white dots in deep blue grid bare flat style"]
    words.append("a blue car with black cross in deep blue grid bare flat style")
    images = generate(backbone, [None, None], words, [0], SAMPLING)[:, 0]
    with torch.no_grad():
        expected = backbone.encode_images(images * 2 - 1)
    assert_close(torch.cat([found[pair.name] for pair in pairs]), expected)
    assert not torch.equal(expected[0], expected[1])

    backbone.denoiser = None  # type: ignore[assignment] # whoever draws again fails
    kept = imagine(backbone, pairs[1:], cache=tmp_path / "drawn.safetensors", sampling=SAMPLING)
    assert list(kept) == [pairs[1].name]
    assert torch.equal(kept[pairs[1].name], found[pairs[1].name])


def test_a_concept_without_words_is_refused(backbone: Backbone, concepts: dict[str, Concept]) -> None:
    bare = Pair(replace(concepts["train_content_00"], description=""), concepts["train_style_00"])
    with pytest.raises(ValueError, match=r"a description of both.* first \['train_content_00\+train_style_00'\]: add"):
        imagine(backbone, [bare], sampling=SAMPLING)
