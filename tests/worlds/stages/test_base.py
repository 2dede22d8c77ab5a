"""lorarar.worlds.stages.base and .runs: the training objective, what learns, what is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.diffusion.loading import load_backbone
from lorarar.storage.cards import checked, read_card
from lorarar.storage.run_folder import ConfigError
from lorarar.worlds.stages.autoencoder import AutoencoderTraining, build_autoencoder
from lorarar.worlds.stages.base import BaseTraining
from lorarar.worlds.stages.classifier import load_classifier
from lorarar.worlds.stages.pipelines import build_pipeline, new_parts
from lorarar.worlds.stages.recipes import AutoencoderRecipe, BaseRecipe, Shape, StageRecipe, WorldConfig
from lorarar.worlds.stages.renders import draw, kept_parts
from lorarar.worlds.stages.runs import (
    make_autoencoder,
    make_base,
    make_classifier,
    run_autoencoder,
    run_classifier,
)
from lorarar.worlds.stages.world import from_bytes
from lorarar.worlds.toy.attributes import neutral_looks
from lorarar.worlds.toy.definition import TOY
from lorarar.worlds.toy.world import toy_world

SHAPES = {"unet": Shape(widths=(16, 32)), "transformer": Shape("transformer", (16,), 2)}


def trained(shape: Shape) -> BaseTraining:
    torch.manual_seed(0)
    pipeline = build_pipeline(new_parts(build_autoencoder().eval(), TOY, shape), shape)
    plan = TOY.plan("base", 20, 0)
    recipe = BaseRecipe(steps=2, batch=8, learning_rate=1e-3, renders=20, shape=shape)
    return BaseTraining(TOY, pipeline, recipe, plan, torch.randn(20, 16, 8, 8).half())


@pytest.fixture
def training() -> BaseTraining:
    return trained(SHAPES["unet"])


def test_each_part_of_the_training_sees_its_own_sets_alone() -> None:
    subjects, styles = toy_world().subjects, toy_world().styles
    base, known = TOY.plan("base", 300, 0), TOY.plan("known", 300, 0)
    assert {render.content for render in base} <= set(subjects["base"])
    assert {render.style for render in base} <= {*styles["base"], *neutral_looks()}
    assert {render.content for render in known} <= {*subjects["base"], *subjects["train"]}
    assert {render.style for render in known} <= {*styles["base"], *styles["train"]}
    tested = TOY.plan("test", 128, 0)
    assert {(render.content, render.style) for render in tested[:64]} == {
        (subject, style) for subject in subjects["test"] for style in styles["test"]
    }
    assert [render.seed for render in tested] == [0] * 64 + [1] * 64


def test_an_empty_caption_is_the_pipelines_unconditional_input(training: BaseTraining) -> None:
    found = training._encode(["a red cat", ""])
    _, negative, _, negative_pooled = training.pipeline.encode_prompt(["a red cat"], do_classifier_free_guidance=True)
    assert_close(found.embeddings[1:], negative)
    assert_close(found.pooled[1:], negative_pooled)
    assert found.embeddings[0].any()


def test_another_base_has_another_empty_prompt() -> None:
    training = trained(SHAPES["transformer"])
    assert_close(
        training._encode(["a red cat", ""]).embeddings, training.backbone.encode_prompts(["a red cat", ""]).embeddings
    )


def test_parts_are_kept_until_their_key_or_drawing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, computed = TOY.plan("base", 5, 0), []
    monkeypatch.setattr("lorarar.worlds.stages.renders._PART", 2)

    def halve(images: torch.Tensor) -> torch.Tensor:
        computed.append(len(images))
        return images / 2

    kept = kept_parts(TOY, plan, tmp_path, halve, "halve", "key")
    assert_close(kept, draw(TOY, plan) / 2)
    assert_close(kept_parts(TOY, plan, tmp_path, halve, "halve", "key"), kept)
    assert computed == [2, 2, 1]
    kept_parts(TOY, plan[:2], tmp_path, halve, "halve", "another")
    assert computed == [2, 2, 1, 2]
    monkeypatch.setattr("lorarar.worlds.toy.definition.render", lambda *_: np.zeros((32, 32, 3), np.uint8))
    assert not kept_parts(TOY, plan, tmp_path, halve, "halve", "key").any()


def test_everything_but_the_autoencoder_learns(training: BaseTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    monkeypatch.setattr("lorarar.worlds.toy.definition.base_caption", lambda *_: "a red cat")
    training.training_step(0, 0).backward()
    for name, part in (("denoiser", training.denoiser), *training.encoders.items()):
        silent = [key for key, p in part.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert silent == [], name
    assert all(p.grad is None for p in training.pipeline.vae.parameters())


@pytest.mark.parametrize("kind", SHAPES)
def test_the_loss_weights_clean_sample_errors_by_noise(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = trained(SHAPES[kind])
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    seen = []
    predict = training.backbone.predict
    monkeypatch.setattr(
        training.backbone, "predict", lambda *inputs: seen.append((*inputs, predict(*inputs))) or seen[-1][-1]
    )
    loss = training.training_step(0, 0)
    chosen = np.random.default_rng((0, 0, 0)).integers(20, size=8)
    ((noisy, timesteps, _, predicted),) = seen
    expected = []
    for i, c in enumerate(chosen):
        if kind == "unet":
            clean, share = predicted[i], float(1 - training.backbone.noise.alphas_cumprod[timesteps[i]])
        else:
            sigma = (float(timesteps[i]) + 1) / 1000
            clean, share = noisy[i] - sigma * predicted[i], sigma**2 / (sigma**2 + (1 - sigma) ** 2)
        expected.append(((clean - training.latents[c].float()) ** 2).mean() / max(share, 0.15))
    assert_close(loss, torch.stack(expected).mean())


def test_the_stages_write_what_can_be_loaded(tmp_path: Path) -> None:
    stage = StageRecipe(steps=2, batch=4, learning_rate=1e-3, renders=16)
    recipe = BaseRecipe(**vars(stage), shape=SHAPES["unet"])
    classifier = make_classifier(TOY, stage, output=tmp_path, runs=tmp_path / "runs")
    card = read_card(checked(classifier))
    assert card["recipe"]["renders"] == 16
    assert set(card["accuracy_on_test_renders"]) >= {"hue", "tone"}
    assert not load_classifier(classifier).training
    vae = make_autoencoder(TOY, AutoencoderRecipe(**vars(stage), crop=16), runs=tmp_path / "runs")
    assert (vae / "config.json").is_file()
    base = make_base(TOY, recipe, output=tmp_path, runs=tmp_path / "runs", devices=1)
    assert read_card(checked(base))["processes"] == 1
    backbone = load_backbone(base, device="cpu")
    assert backbone.resolution == 32
    assert next(backbone.denoiser.parameters()).dtype == torch.float32
    other = BaseRecipe(**(vars(recipe) | {"shape": SHAPES["transformer"], "parts": base}))
    made = make_base(TOY, other, output=tmp_path / "other", runs=tmp_path / "other", devices=1)
    assert read_card(checked(made))["recipe"]["shape"]["denoiser"] == "transformer"
    assert load_backbone(made, device="cpu").resolution == 32


def test_a_stage_needs_its_recipe(tmp_path: Path) -> None:
    stage = StageRecipe(steps=2, batch=4, learning_rate=1e-3, renders=16)
    config = WorldConfig(tmp_path, tmp_path / "runs", BaseRecipe(**vars(stage), shape=SHAPES["unet"]))
    for name, run in (("classifier", run_classifier), ("autoencoder", run_autoencoder)):
        with pytest.raises(ConfigError, match=f"expected a recipe for the {name}, found none: add {name}: to the"):
            run(config)
    assert not (tmp_path / "runs").exists()


@torch.no_grad()
def test_latents_are_scaled_to_unit_deviation() -> None:
    recipe = AutoencoderRecipe(steps=1, batch=2, learning_rate=1e-3, renders=16)
    training = AutoencoderTraining(recipe, draw(TOY, TOY.plan("known", 16, 0)))
    vae = training.finish()
    latents = vae.encode(from_bytes(training.images)).latent_dist.mean * vae.config.scaling_factor
    assert float(latents.std()) == pytest.approx(1, abs=1e-3)
