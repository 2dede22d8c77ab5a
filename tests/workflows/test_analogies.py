"""lorarar.workflows.analogies: the whole chain on the toy base, and the paper's configuration on a shrunken Kontext."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import FluxKontextPipeline
from PIL import Image

from lorarar.analogies.application import Analogies
from lorarar.analogies.files import load_basis
from lorarar.analogies.recipes import AnalogyConfig
from lorarar.benchmark.analogies.run import plan_answers, run_answers
from lorarar.benchmark.analogies.settings import AnswersConfig
from lorarar.cli.main import main
from lorarar.datasets.images import load_image, save_image
from lorarar.diffusion.settings import Sampling
from lorarar.formats import load
from lorarar.storage.config import load_config
from lorarar.storage.run_folder import ConfigError
from lorarar.workflows.analogies import AnalogyRequest, answer_analogies, run_analogies
from lorarar.worlds.stages.recipes import EditorConfig
from lorarar.worlds.toy.editor import run_editor
from tests import ROOT
from tests.pipelines import shrunken_flux

CONFIGS = ROOT / "configs" / "analogies"
ALWAYS = ("truth", "copy of b", "copy of a'", "base alone", "base by words")
ROLES = ("before", "after", "image", "target")


def write_pictures(folder: Path, size: int = 32) -> list[Path]:
    """Four random images of one analogy."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, role in enumerate(ROLES):
        save_image(torch.rand(3, size, size, generator=torch.Generator().manual_seed(i)), folder / f"{role}.png")
    return [folder / f"{role}.png" for role in ROLES]


def test_numbers_of_images_must_agree(tmp_path: Path) -> None:
    a, b, c, _ = write_pictures(tmp_path)
    request = AnalogyRequest(tmp_path / "x", (a, a), (b,), c, tmp_path / "out.png")
    with pytest.raises(ValueError, match="found 2 in `before`, 1 in `after` and 2 in `weights`: give one of each"):
        answer_analogies(request)
    words = ["analogy", "apply", "--before", str(a), "--after", str(a), "--image", str(c), "-o", str(b)]
    assert main(words) == 1


@pytest.mark.slow
def test_the_chain_on_the_toy_base(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    editor = load_config(
        EditorConfig,
        CONFIGS / "base.yaml",
        [
            f"base={base}",
            f"output={tmp_path / 'base'}",
            f"runs={tmp_path / 'editor'}",
            "recipe.steps=2",
            "recipe.renders=8",
            "recipe.batch=2",
        ],
    )
    assert run_editor(editor) == tmp_path / "base"
    settings = [f"base={tmp_path / 'base'}", "analogies=34", "batch=2", "recipe.steps=2", "wandb=disabled"]
    rows = {"basis": [], "oracle": ["basis.router=task"], "own": ["basis.router=own", "basis.count=17"]}
    for name, more in rows.items():
        run = load_config(AnalogyConfig, CONFIGS / "toy.yaml", [*settings, f"runs={tmp_path / name}", *more])
        assert run_analogies(run) == tmp_path / name / "basis.safetensors"
    paths = {name: tmp_path / name / "basis.safetensors" for name in rows}
    config = AnswersConfig(
        str(tmp_path / "base"),
        paths,
        tmp_path / "answers",
        images=1,
        sampling=Sampling(1, 1.0),
        combination="own",
        combination_steps=1,
    )
    assert plan_answers(config) == "6 methods x 47 analogies = 282 images of 1 steps"
    judged = plan_answers(replace(config, judge="tiny"))
    assert judged == "6 methods x 47 analogies = 282 images of 1 steps; at most 846 questions to the judge"
    with pytest.raises(ValueError, match="expected combination to be a row of bases, .*'own'.*, found 'other'"):
        run_answers(replace(config, combination="other"))
    parts = json.loads(run_answers(config).read_text())["parts"]
    assert parts["types"]["oracle"] == {"minus reference": {}}
    assert set(parts["seen"]["own"]["transformations"]) == set(parts["seen"]["basis"]["transformations"])
    assert parts["types"]["copy of b"]["preservation"][0] == 1
    assert parts["types"]["copy of b"]["minus reference"]["accuracy"][0] <= 0
    assert len(parts["types"]["optimised combination"]["transformations"]) == 8
    assert (tmp_path / "answers" / "sheet.png").is_file()
    a, b, c, _ = write_pictures(tmp_path / "pictures")
    words = ["analogy", "apply", "--basis", str(paths["basis"]), "--steps", "1", "--image", str(c)]
    words += ["--before", str(a), "--after", str(b), "--before", str(b), "--after", str(a), "--weights", "0.5,0.5"]
    words += ["-o", str(tmp_path / "out.png"), "--lora", str(tmp_path / "mix.safetensors")]
    assert main(words) == 0
    assert load_image(tmp_path / "out.png").size == (32, 32)
    mix = load(tmp_path / "mix.safetensors")
    assert {layer.rank for layer in mix.layers.values()} == {16 * 4}
    assert mix.metadata["method"] == "analogies"
    assert main(words) == 1
    assert "exist already" in capsys.readouterr().err
    other = ["--base", str(base), *words[2:], "--force"]
    assert main(["analogy", "apply", *other]) == 1
    assert "expected the base that the basis was trained on" in capsys.readouterr().err


@pytest.mark.slow
def test_the_chain_on_a_transformer_from_nothing(base: Path, tmp_path: Path) -> None:
    small = [f"output={tmp_path / 'base'}", f"runs={tmp_path / 'editor'}", f"recipe.parts={base}"]
    small += ["recipe.steps=2", "recipe.renders=8", "recipe.batch=2", "recipe.shape.widths=[64]"]
    run_editor(load_config(EditorConfig, CONFIGS / "base_transformer.yaml", small))
    settings = [f"base={tmp_path / 'base'}", "analogies=34", "batch=2", "recipe.steps=2", "wandb=disabled"]
    path = run_analogies(load_config(AnalogyConfig, CONFIGS / "toy.yaml", [*settings, f"runs={tmp_path / 'basis'}"]))
    assert any(layer.startswith("single_transformer_blocks.3") for layer in load_basis(path).basis.shapes)
    words = [f"base={tmp_path / 'base'}", f"output={tmp_path / 'answers'}", "images=1", "sampling.steps=1"]
    words += ["parts=[types]", "bases=null", f"bases={{basis: {path}}}", "judge=mock:truth"]
    config = load_config(AnswersConfig, CONFIGS / "evaluate_transformer.yaml", words)
    assert list(config.bases) == ["basis"]
    results = json.loads(run_answers(config).read_text())
    assert list(results["parts"]["types"]) == [*ALWAYS, "basis"]
    assert not results["judge"]["passed"]  # without labels the mock is silent
    assert "edited" not in results["parts"]["types"]["basis"]


def test_an_editor_starts_from_a_base_or_from_a_shape(tmp_path: Path) -> None:
    words = [f"runs={tmp_path}", "recipe.shape.denoiser=transformer"]
    with pytest.raises(ConfigError, match="expected base, or recipe.shape.denoiser=flux and recipe.parts, found trans"):
        run_editor(load_config(EditorConfig, CONFIGS / "base_transformer.yaml", words))


@pytest.mark.slow
def test_the_papers_configuration_on_a_shrunken_kontext(tmp_path: Path) -> None:
    FluxKontextPipeline(**shrunken_flux().components).save_pretrained(tmp_path / "base")
    for task in ("blue", "red"):
        write_pictures(tmp_path / "examples" / task / "x", 48)
    small = [f"base={tmp_path / 'base'}", f"runs={tmp_path / 'run'}", f"examples={tmp_path / 'examples'}"]
    small += ["recipe.steps=2", "basis.encoder=pixels", "basis.encoder_path=null", "device=cpu", "dtype=fp32"]
    path = run_analogies(load_config(AnalogyConfig, CONFIGS / "kontext.yaml", [*small, "wandb=disabled", "batch=2"]))
    trained = load_basis(path)
    assert (trained.basis.config.count, trained.basis.config.rank, trained.basis.config.width) == (32, 4, 128)
    assert any("add_k_proj" in layer for layer in trained.basis.shapes)
    assert sum(float(up.detach().norm()) for up in trained.basis.up) > 0
    analogies = Analogies.load(path, device="cpu")
    triplet = [Image.open(tmp_path / "examples" / "red" / "x" / f"{role}.png") for role in ROLES[:3]]
    pixels = analogies.pixels([triplet])
    mix = analogies.mix(pixels)
    sampling = Sampling(2, 1.0)
    routed = analogies.answer(pixels, mix, [0], sampling)
    assert routed.shape == (1, 3, 32, 32)  # a quarter of the grid of 64 pixels
    assert torch.allclose(analogies.answer(pixels, analogies.lora(mix[0]), [0], sampling), routed, atol=1e-4)
