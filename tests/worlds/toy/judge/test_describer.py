"""lorarar.worlds.toy.judge.describer: sets of images with something in common, their words, a whole tiny training."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lorarar.datasets.records import AXES
from lorarar.evaluation.judge.ask.descriptions import DESCRIBE
from lorarar.storage.cards import checked, read_card
from lorarar.storage.config import load_config
from lorarar.storage.locations import EMBEDDED_DESCRIBER
from lorarar.storage.run_folder import ConfigError
from lorarar.worlds.stages.autoencoder import build_autoencoder
from lorarar.worlds.toy.judge.data import ImagePairs, render_pairs
from lorarar.worlds.toy.judge.describer import ImageSets, describe_member, train_describer
from lorarar.worlds.toy.judge.recipes import DescriberConfig, TrainStage
from tests import ROOT

CONFIG = ROOT / "configs" / "judge" / "describer.yaml"


@pytest.fixture(scope="module")
def pairs() -> ImagePairs:
    return render_pairs(60, seed=3)


def test_words() -> None:
    assert describe_member("content", (0, 0, 1, 0)) == "a red cat with white dots"
    assert describe_member("style", (1, 4, 1, 0)) == "light blue grid inked flat style"


def test_the_images_of_a_set_agree_on_its_words(pairs: ImagePairs) -> None:
    sets = ImageSets(pairs.images.flatten(0, 1), pairs.attributes.flatten(0, 1))
    for axis, own in zip(AXES, (slice(4), slice(4, 8)), strict=True):
        images, attributes, words = sets.pick(axis, 40, np.random.default_rng(0))
        assert (images.shape, len(words)) == ((40, 4, 3, 32, 32), 40)
        assert attributes.min() >= 0  # no image without a subject and a style
        said = [[describe_member(axis, row) for row in rows] for rows in attributes[..., own].tolist()]
        agree = Counter(sum(text == word for text in texts) for texts, word in zip(said, words, strict=True))
        assert agree[4] > 15  # most sets hold no strange image
        assert 0 < sum(count for number, count in agree.items() if number < 4) < 25


def test_a_whole_training_runs(tmp_path: Path) -> None:
    build_autoencoder().save_pretrained(tmp_path / "base" / "vae")
    paths = {"output": tmp_path / "describer", "base": tmp_path / "base", "runs": tmp_path / "runs"}
    small = replace(
        load_config(DescriberConfig, CONFIG), **paths, pairs=24, held_out_pairs=4, training=TrainStage(2, 4, 1e-3)
    )
    folder = train_describer(small)
    card = read_card(checked(folder))
    assert set(card["all_words_right_on_validation_renders"]) == set(AXES)
    with pytest.raises(ConfigError, match="seed: 0 there, 1 here"):
        train_describer(replace(small, seed=1))


@pytest.mark.skipif(not EMBEDDED_DESCRIBER.exists(), reason="the embedded describer is not made yet")
def test_the_shipped_describer_is_small_and_says_how_it_was_made() -> None:
    card = read_card(checked(EMBEDDED_DESCRIBER))
    recipe = load_config(DescriberConfig, CONFIG)
    assert card["recipe"]["training"] == {"steps": 1, "batch": 1, "learning_rate": 1} | vars(recipe.training)
    assert sum(path.stat().st_size for path in EMBEDDED_DESCRIBER.iterdir()) < 2e6
    tokens = (EMBEDDED_DESCRIBER / "tokenizer.json").read_text(encoding="utf-8")
    assert all(f'"{word}"' in tokens for text in DESCRIBE.values() for word in ("phrase", "answer") if word in text)
