"""lorarar.worlds.toy.judge.data and .negatives: labels against the attribute classifier, held-out sets, negatives."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

from lorarar.worlds.stages.autoencoder import build_autoencoder
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.toy.attributes import Subject, all_subjects
from lorarar.worlds.toy.judge.data import (
    ImagePairs,
    Members,
    check_training_pairs,
    reconstruct,
    render_pairs,
    scale_pixels,
)
from lorarar.worlds.toy.judge.negatives import render_blank, render_card, render_collage, render_noise
from lorarar.worlds.toy.world import toy_world
from tests import ROOT

CLASSIFIER = ROOT / "data" / "embedded" / "classifier.safetensors"


@pytest.fixture(scope="module")
def pairs() -> ImagePairs:
    return render_pairs(250, seed=0)


def test_the_classifier_recognises_the_labels(pairs: ImagePairs) -> None:
    classifier = load_classifier(CLASSIFIER)
    read = classifier.read(scale_pixels(pairs.images.flatten(0, 1))).unflatten(0, (250, 2))
    plain = pairs.attributes[:, 1, 0] >= 0
    assert (read == pairs.attributes)[plain].float().mean() > 0.995
    assert (read == pairs.attributes)[:, 0].float().mean() > 0.995
    for axis, own in (("content", slice(0, 4)), ("style", slice(4, 8))):
        agreed = (read[plain, 0, own] == read[plain, 1, own]).all(1)
        assert (agreed == pairs.same(axis)[plain]).float().mean() > 0.98


def test_every_kind_of_pair_is_there(pairs: ImagePairs) -> None:
    degenerate = pairs.attributes[:, 1, 0] < 0
    assert 0.12 < degenerate.float().mean() < 0.22
    for axis, own in (("content", slice(0, 4)), ("style", slice(4, 8))):
        assert not pairs.same(axis)[degenerate].any()
        differing = (pairs.attributes[:, 0, own] != pairs.attributes[:, 1, own]).sum(1)[~degenerate]
        assert 0.35 < (differing == 0).float().mean() < 0.6
        assert (differing == 1).float().mean() > 0.1
    assert (pairs.images[:, 0] == pairs.images[:, 1]).flatten(1).all(1).sum() >= 3  # exact copies
    assert torch.equal(render_pairs(20, seed=3).images, render_pairs(20, seed=3).images)
    assert not torch.equal(render_pairs(20, seed=3).images, render_pairs(20, seed=4).images)


def test_nothing_held_out_is_learnt_from(pairs: ImagePairs) -> None:
    check_training_pairs(pairs)
    for split in ("validation", "test"):
        with pytest.raises(ValueError, match=f"without {split} subjects"):
            check_training_pairs(render_pairs(20, 0, (split,)))


def test_others_come_from_their_own_sets() -> None:
    found = render_pairs(60, 0, ("test",), ("base",))
    own = {tuple(row) for row in found.attributes[:, 0, :4].tolist()}
    assert own <= {(s.category, s.hue, s.mark, s.mark_colour) for s in toy_world().subjects["test"]}
    base = {(s.category, s.hue, s.mark, s.mark_colour) for s in toy_world().subjects["base"]}
    other = ~found.same("content") & (found.attributes[:, 1, 0] >= 0)
    assert {tuple(row) for row in found.attributes[other, 1, :4].tolist()} <= base


def test_near_members_differ_in_one_or_two() -> None:
    own, random = Subject(0, 0, 0, 0), np.random.default_rng(0)
    everybody = Members(all_subjects())
    relatives = np.array([astuple(everybody.relative(own, 0.55, random)) for _ in range(1500)])
    counts = (relatives != 0).sum(1)
    assert (counts == 0).mean() == pytest.approx(0.45, abs=0.04)
    assert (counts == 1).mean() == pytest.approx(0.55 * 0.75, abs=0.05)
    assert counts.max() == 2
    for share in (relatives[counts == 1] != 0).mean(0):  # of few values or many, each attribute differs as often
        assert share == pytest.approx(0.25, abs=0.06)


def test_a_lonely_member_has_any_relative() -> None:
    known = Members([Subject(0, 0, 0, 0), Subject(5, 5, 4, 2)])
    random = np.random.default_rng(0)
    relatives = [known.relative(Subject(0, 0, 0, 0), 0.55, random) for _ in range(300)]
    assert relatives.count(Subject(5, 5, 4, 2)) / 300 == pytest.approx(0.55 / 2, abs=0.08)


def test_rebuilding_goes_through_the_autoencoder(pairs: ImagePairs, tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = build_autoencoder()
    vae.save_pretrained(tmp_path)
    some = ImagePairs(pairs.images[:12], pairs.attributes[:12])
    found = reconstruct(some, tmp_path, share=0.5, seed=1)
    assert torch.equal(found.images[:, 0], some.images[:, 0])
    changed = (found.images[:, 1] != some.images[:, 1]).flatten(1).any(1)
    assert 1 <= changed.sum() <= 11
    with torch.no_grad():
        latents = vae.encode(some.images[changed, 1].float() / 127.5 - 1).latent_dist.mean
        expected = (vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5
    assert (found.images[changed, 1].float() - expected).abs().max() <= 1


def test_rubbish_is_rubbish() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        blank, noise, card = render_blank(random), render_noise(random), render_card(random)
        assert all(image.shape == (32, 32, 3) and image.dtype == np.uint8 for image in (blank, noise, card))
        assert (blank == blank[0, 0]).all()
        assert noise.std() > 3
        values, counts = np.unique(card.reshape(-1, 3), axis=0, return_counts=True)
        assert len(values) > 1
        assert counts.max() > 200  # mostly ground


def test_a_collage_holds_half_of_each() -> None:
    black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    random = np.random.default_rng(0)
    for _ in range(20):
        found = render_collage(black, white, random)
        assert found.shape == (32, 32, 3)
        assert found.mean() == pytest.approx(127.5)
