"""lorarar.diffusion.prompt_sets: images of a whole set, and a manifest that the judge accepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from lorarar.cli.main import main
from lorarar.datasets.layout import PROMPT_TYPES
from lorarar.datasets.manifest import check_items, read_manifest
from lorarar.datasets.prompts import TYPES, Prompt
from lorarar.datasets.references import load_references
from lorarar.diffusion.generation import generate_files, open_sampler
from lorarar.diffusion.prompt_sets import ImageLabels, generate_set, plan_items
from lorarar.diffusion.settings import Sampling
from lorarar.formats.writing import save
from lorarar.lora.lora import LoRA
from lorarar.mergers.request import MergeRequest
from lorarar.storage.atomic import FormatError
from tests import ROOT

LABELS = ImageLabels("direct", "train_content_00", "train_style_00")
PROMPTS = [Prompt("train", "a cat"), Prompt("alter", "a cat in snow"), Prompt("alter", "a cat in rain")]
SET = ROOT / "data" / "prompts" / "toyworld_pair.yaml"


def grey(prompt: str, seeds: Sequence[int]) -> Tensor:
    """Images whose brightness encodes prompt and seed."""
    return torch.stack([torch.full((3, 4, 4), (len(prompt) + seed) / 255) for seed in seeds])


def test_items_have_a_seed_of_their_own_in_each_type() -> None:
    items = plan_items(PROMPTS, LABELS, [0, 3])
    assert [(item.prompt, item.seed) for item in items] == [
        ("a cat", 0),
        ("a cat", 3),
        ("a cat in snow", 0),
        ("a cat in snow", 6),
        ("a cat in rain", 1),
        ("a cat in rain", 7),
    ]
    assert items[2].path == "direct/train_content_00+train_style_00/alter/0.png"
    base = plan_items(PROMPTS, ImageLabels("base", LABELS.content, LABELS.style), [0, 3])
    assert [(i.prompt, i.seed) for i in base] == [(i.prompt, i.seed) for i in items]
    assert set(TYPES) < set(PROMPT_TYPES)


def test_images_and_manifest_are_written(tmp_path: Path, folder: Path) -> None:
    items = plan_items(PROMPTS, LABELS, [0, 3])
    manifest = generate_set(grey, items, tmp_path)
    assert read_manifest(manifest) == items
    check_items(items, load_references(folder / "concepts.yaml"))
    for item in items:
        with Image.open(tmp_path / item.path) as image:
            assert image.getpixel((0, 0)) == (len(item.prompt) + item.seed,) * 3


def test_methods_in_one_folder_share_its_manifest(tmp_path: Path) -> None:
    ours = plan_items(PROMPTS, LABELS, [0])
    base = plan_items(PROMPTS, ImageLabels("base", LABELS.content, LABELS.style), [0])
    for items in (ours, base, ours):  # the first again
        manifest = generate_set(grey, items, tmp_path, force=items is ours)
    with pytest.raises(FormatError, match="images exist already.*choose another folder.*`force=True`"):
        generate_set(grey, ours, tmp_path)
    assert read_manifest(manifest) == [*base, *ours]
    manifest.write_text("no items")
    (tmp_path / ours[0].path).unlink()
    with pytest.raises(ValueError, match="expected one item as a JSON object"):
        generate_set(grey, ours, tmp_path, force=True)
    assert not (tmp_path / ours[0].path).exists()  # refused before any image is sampled


@pytest.mark.parametrize(
    ("prompts", "labels", "seeds", "message"),
    [
        ([], LABELS, [0], "expected prompts, and different seeds"),
        (PROMPTS, LABELS, [], "expected prompts, and different seeds"),
        (PROMPTS, LABELS, [1, 1], "different seeds from 0"),
        (PROMPTS, LABELS, [-1], "different seeds from 0"),
        (PROMPTS, ImageLabels("../up", "a", "b"), [0], r"can name a folder, found '\.\./up'"),
        (PROMPTS, ImageLabels("m", None, "b"), [0], "expected `content` and `style`, found none"),
        (PROMPTS, ImageLabels("m", "a", "b/c"), [0], "can name a folder, found 'b/c'"),
    ],
)
def test_items_that_a_manifest_cannot_hold_are_refused(
    prompts: list[Prompt], labels: ImageLabels, seeds: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_items(prompts, labels, seeds)


def test_the_command_samples_the_same_image_as_for_one_prompt_alone(
    base: Path, loras: dict[str, LoRA], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "c.safetensors", tmp_path / "s.safetensors"]
    for path, name in zip(files, ("train_content_00", "train_style_00"), strict=True):
        save(loras[name], path, dtype=torch.float32)
    arguments = [
        "generate",
        "--base",
        str(base),
        "--lora",
        str(files[0]),
        "--lora",
        str(files[1]),
        "--merger",
        "direct",
        "--steps",
        "1",
    ]
    arguments += ["--guidance", "1", "--prompt-set", str(SET), "-o", str(tmp_path / "out"), "--seeds", "0"]
    arguments += [
        "--word",
        "content=a sks cat",
        "--word",
        "style=szn style",
        "--word",
        "token=sks",
        "--method",
        "direct",
    ]
    assert main([*arguments]) == 1
    assert "expected --content and --style, found none" in capsys.readouterr().err
    assert main([*arguments, "--content", "cat", "--style", "szn"]) == 0
    manifest = tmp_path / "out" / "manifest.jsonl"
    assert str(manifest) in capsys.readouterr().out
    items = read_manifest(manifest)
    assert len(items) == 10
    chosen = next(item for item in items if item.prompt == "a sks cat with black dots in szn style")
    assert (chosen.prompt_type, chosen.seed) == ("alter", 1)
    request = MergeRequest(merger="direct")
    alone = generate_files(str(base), files, chosen.prompt, [1], Sampling(1, 1.0), tmp_path / "alone", request)
    assert alone[0].read_bytes() == (tmp_path / "out" / chosen.path).read_bytes()


def test_a_sampler_composes_with_a_runtime_merger(base: Path, loras: dict[str, LoRA], tmp_path: Path) -> None:
    files = [tmp_path / "c.safetensors", tmp_path / "s.safetensors"]
    for path, name in zip(files, ("train_content_00", "train_style_00"), strict=True):
        save(loras[name], path, dtype=torch.float32)
    sampler = open_sampler(str(base), files, Sampling(2, 1.0), MergeRequest(merger="klora"))
    images = sampler("a sks cat in szn style", [0, 1])
    assert images.shape == (2, 3, 32, 32)
    assert not torch.equal(images[0], images[1])
