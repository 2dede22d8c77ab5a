"""lorarar.worlds.toy.judge.generated: images of training LoRAs, resumed, and pairs of them with renders."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lorarar.diffusion.settings import Sampling
from lorarar.storage.locations import EMBEDDED
from lorarar.storage.run_folder import ConfigError
from lorarar.worlds.toy.attributes import Style, Subject, truth
from lorarar.worlds.toy.judge import generated
from lorarar.worlds.toy.judge.data import check_training_pairs
from lorarar.worlds.toy.judge.generated import GeneratedImages, generate_images, pair_with_renders, shift
from lorarar.worlds.toy.world import toy_world


def test_images_are_generated_once_and_a_stopped_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "_BATCH", 3)
    monkeypatch.setattr(generated, "SAMPLING", Sampling(steps=1, guidance=1.0))
    whole = generate_images(EMBEDDED, 5, 0, tmp_path)
    assert whole.images.shape == (5, 3, 32, 32)
    assert whole.intended.shape == (5, 8)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"0000.safetensors", "0001.safetensors"}
    known = {astuple(s) for name in ("base", "train") for s in toy_world().styles[name]}
    assert {tuple(row[4:]) for row in whole.intended.tolist()} <= known
    (tmp_path / "0001.safetensors").unlink()
    (tmp_path / "0000.safetensors").touch()
    kept = (tmp_path / "0000.safetensors").stat().st_mtime_ns
    again = generate_images(EMBEDDED, 5, 0, tmp_path)
    assert torch.equal(again.images, whole.images)
    assert (tmp_path / "0000.safetensors").stat().st_mtime_ns == kept
    with pytest.raises(ConfigError, match="seed"):
        generate_images(EMBEDDED, 5, 1, tmp_path)


class GreyLevel:
    """Classifier that knows every image by its grey."""

    def __init__(self, rows: list[tuple[int, ...]]) -> None:
        self.rows = torch.tensor(rows)

    def read(self, images: Tensor) -> Tensor:
        """Return the row whose number is the grey of an image's middle."""
        return self.rows[((images[:, 0, 16, 16] + 1) * 127.5).round().long()]


def sample(rows: list[tuple[int, ...]], intended: tuple[int, ...]) -> GeneratedImages:
    """Images of one grey each, so that a pair shows which image it holds."""
    images = torch.arange(len(rows), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32).contiguous()
    return GeneratedImages(images, torch.tensor([intended] * len(rows)), GreyLevel(rows))


def test_pairs_hold_what_images_show_and_no_held_out_concept() -> None:
    world = toy_world()
    subject, style = world.subjects["train"][0], world.styles["train"][0]
    rows = [
        truth(subject, style),
        truth(world.subjects["base"][3], world.styles["base"][5]),
        truth(world.subjects["test"][2], style),
        truth(subject, world.styles["validation"][1]),
    ]
    intended = truth(subject, style)
    pairs = pair_with_renders(sample(rows, intended), 400, seed=0)
    check_training_pairs(pairs)
    number = pairs.images[:, 1, 0, 0, 0]
    assert set(number.tolist()) == {0, 1}
    assert torch.equal(pairs.attributes[:, 1], torch.tensor(rows)[number.long()])
    wrong = pairs.attributes[number == 1, 0]  # references of the image that shows another subject and style
    as_intended = (wrong == torch.tensor(intended)).unflatten(1, (2, 4)).all(2).float().mean(0)
    assert 0.4 < as_intended[0] < 0.6
    assert 0.25 < as_intended[1] < 0.45  # half of those that are not neutral
    same = np.mean([pairs.same(axis)[number == 1].float().mean() for axis in ("content", "style")])
    assert same > 0.1


def test_a_shift_moves_by_up_to_a_pixel() -> None:
    images = torch.arange(25.0).view(1, 1, 5, 5)
    random, middles = torch.Generator().manual_seed(0), set()
    for _ in range(60):
        middles.add(float(shift(images, random)[0, 0, 2, 2]))
    assert middles == {6.0, 7.0, 8.0, 11.0, 12.0, 13.0, 16.0, 17.0, 18.0}


def test_references_show_their_attributes() -> None:
    world = toy_world()
    row = truth(world.subjects["train"][0], world.styles["train"][0])
    pairs = pair_with_renders(sample([row], row), 30, seed=1)
    again = pair_with_renders(sample([row], row), 30, seed=1)
    assert torch.equal(pairs.images, again.images)
    looks = {tuple(a[4:]) for a in pairs.attributes[:, 0].tolist()}
    assert len(looks) > 5
    for values in pairs.attributes[:, 0].tolist():
        assert Subject(*values[:4]) in {*world.subjects["base"], *world.subjects["train"]}
        assert Style(*values[4:]) not in {*world.styles["validation"], *world.styles["test"]}
