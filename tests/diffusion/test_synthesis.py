"""lorarar.diffusion.synthesis: the base samples images from descriptions, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch.testing import assert_close

import lorarar.diffusion.synthesis
from lorarar.cli.main import main
from lorarar.datasets.concepts import Concept, Pair, SyntheticConcept, load_concepts, load_images, seed_of
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.sampling import sample_loras
from lorarar.diffusion.settings import Sampling
from lorarar.diffusion.synthesis import synthesise_concepts, synthesise_pairs

SAMPLING = Sampling(steps=2, guidance=2.0)


def test_each_pair_is_sampled_from_its_own_description_and_cached(
    backbone: Backbone, concepts: dict[str, Concept], tmp_path: Path
) -> None:
    content, style = concepts["train_content_00"], concepts["train_style_00"]
    other = replace(concepts["train_content_01"], description="a blue car with black cross")
    pairs = [Pair(content, style), Pair(other, style)]
    found = synthesise_pairs(backbone, pairs, cache=tmp_path / "synthetic.safetensors", sampling=SAMPLING)
    descriptions = ["a red cat with white dots in deep blue grid bare flat style"]
    descriptions.append("a blue car with black cross in deep blue grid bare flat style")
    images = sample_loras(backbone, [None, None], descriptions, [0], SAMPLING)[:, 0]
    with torch.no_grad():
        expected = backbone.encode_images(images * 2 - 1)
    assert_close(torch.cat([found[pair.name] for pair in pairs]), expected)
    assert not torch.equal(expected[0], expected[1])

    backbone.denoiser = None  # type: ignore[assignment] # sampling again would fail
    kept = synthesise_pairs(backbone, pairs[1:], cache=tmp_path / "synthetic.safetensors", sampling=SAMPLING)
    assert list(kept) == [pairs[1].name]
    assert torch.equal(kept[pairs[1].name], found[pairs[1].name])


def test_a_concept_without_a_description_is_refused(backbone: Backbone, concepts: dict[str, Concept]) -> None:
    undescribed = Pair(replace(concepts["train_content_00"], description=""), concepts["train_style_00"])
    with pytest.raises(
        ValueError,
        match=r"a description of both.*found 1 pairs without, first \['train_content_00\+train_style_00'\]: add",
    ):
        synthesise_pairs(backbone, [undescribed], sampling=SAMPLING)


def test_concepts_are_sampled_from_their_own_prompts_once(backbone: Backbone, tmp_path: Path) -> None:
    prompts = ("a red cat with white dots", "a red cat with white dots in deep blue plain bare flat style")
    synthetic = [
        SyntheticConcept("x", tmp_path / "images" / "x", prompts),
        SyntheticConcept("y", tmp_path / "images" / "other", prompts[:1]),
    ]
    assert synthesise_concepts(backbone, synthetic, sampling=SAMPLING) == [concept.folder for concept in synthetic]
    for i, prompt in enumerate(prompts):
        alone = sample_loras(backbone, [None], [prompt], [seed_of("x", i)], SAMPLING)[0, 0]
        found = load_images([tmp_path / "images" / "x" / f"{i}.png"], 32)[0]
        assert_close(found, alone * 2 - 1, rtol=0, atol=0.02)
    files = sorted(path.relative_to(tmp_path / "images") for path in tmp_path.rglob("*.png"))
    assert [str(path) for path in files] == ["other/0.png", "x/0.png", "x/1.png"]

    (synthetic[1].folder / "0.png").unlink()
    synthetic[1].folder.rmdir()
    before = (synthetic[0].folder / "0.png").stat().st_mtime_ns
    synthesise_concepts(backbone, synthetic, sampling=SAMPLING)
    assert (synthetic[0].folder / "0.png").stat().st_mtime_ns == before
    assert (synthetic[1].folder / "0.png").is_file()


def test_a_concepts_folder_is_complete_or_absent(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic = [SyntheticConcept("x", tmp_path / "x", ("a cat", "a fish"))]
    original = lorarar.diffusion.synthesis.save_image

    def save_image(image: torch.Tensor, path: Path) -> None:
        if path.name == "1.png":
            raise OSError("No space left on device")
        original(image, path)

    with monkeypatch.context() as patched:
        patched.setattr(lorarar.diffusion.synthesis, "save_image", save_image)
        with pytest.raises(OSError, match="No space"):
            synthesise_concepts(backbone, synthetic, sampling=SAMPLING)
    assert not synthetic[0].folder.exists()
    synthesise_concepts(backbone, synthetic, sampling=SAMPLING)
    assert len(list(synthetic[0].folder.iterdir())) == 2
    assert list(tmp_path.iterdir()) == [synthetic[0].folder]


def test_the_command_writes_images_that_a_zoo_can_be_trained_on(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        {"name": "x", "kind": "content", "prompt": "a sks cat", "synthetic_prompts": ["a red cat"], "folder": "sub/x"},
        {
            "name": "y",
            "kind": "style",
            "phrase": "szn style",
            "captions": ["a cat in szn style"],
            "synthetic_prompts": ["a cat"],
        },
        {"name": "photographed", "kind": "content", "prompt": "a sks dog"},
    ]
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"concepts": entries}))
    config = {key: str(tmp_path / key) for key in ("splits", "output", "runs", "images")}
    config |= {"base": str(base), "manifests": [str(tmp_path / "m.yaml")], "split": "s"}
    recipe = {"rank": 2, "alphas": [2], "steps": 1, "images": 1, "learning_rate": 1e-3}
    text = yaml.safe_dump(config | {"recipe": recipe, "sampling": {"steps": 1, "guidance": 1.0}})
    (tmp_path / "zoo.yaml").write_text(text)
    assert main(["synthesise", str(tmp_path / "zoo.yaml")]) == 0
    assert f"images of 2 concepts in {tmp_path / 'images'}" in capsys.readouterr().out
    found = load_concepts([tmp_path / "m.yaml"], tmp_path / "images", ["x", "y"])
    assert [len(concept.images) for concept in found.values()] == [1, 1]

    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"concepts": entries[2:]}))
    assert main(["synthesise", str(tmp_path / "zoo.yaml")]) == 1
    assert "expected concepts with `synthetic_prompts`, a list of prompts" in capsys.readouterr().err
