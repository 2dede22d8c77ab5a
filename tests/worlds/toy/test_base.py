"""lorarar.worlds.toy.base and .stages: the training objective, what learns, what is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lorarar.diffusion.loading import load_backbone
from lorarar.storage.cards import checked, read_card
from lorarar.storage.run_folder import ConfigError
from lorarar.worlds.toy import base as module
from lorarar.worlds.toy.attributes import neutral_looks
from lorarar.worlds.toy.autoencoder import AutoencoderTraining, build_autoencoder
from lorarar.worlds.toy.base import BaseTraining
from lorarar.worlds.toy.classifier import load_classifier
from lorarar.worlds.toy.pipelines import build_pipeline, new_parts
from lorarar.worlds.toy.recipes import BaseRecipe, Shape, StageRecipe, WorldConfig
from lorarar.worlds.toy.stages import make_autoencoder, make_base, make_classifier, run_autoencoder, run_classifier
from lorarar.worlds.toy.world import toy_world

SHAPES = {"unet": Shape(widths=(16, 32)), "transformer": Shape("transformer", (16,), 2)}


def trained(shape: Shape, cache: Path) -> BaseTraining:
    torch.manual_seed(0)
    pipeline = build_pipeline(new_parts(build_autoencoder().eval()), shape)
    return BaseTraining(pipeline, seed=0, steps=2, batch=8, learning_rate=1e-3, renders=20, cache=cache)


@pytest.fixture
def training(tmp_path: Path) -> BaseTraining:
    return trained(SHAPES["unet"], tmp_path / "latents.safetensors")


def test_the_base_sees_its_own_sets_alone(training: BaseTraining) -> None:
    assert len(training.pairs) == len(training.latents) == 20
    assert {subject for subject, _ in training.pairs} <= set(toy_world().subjects["base"])
    assert {style for _, style in training.pairs} <= {*toy_world().styles["base"], *neutral_looks()}


def test_an_empty_caption_is_the_pipelines_unconditional_input(training: BaseTraining) -> None:
    found = training._encode(["a red cat", ""])
    _, negative, _, negative_pooled = training.pipeline.encode_prompt(["a red cat"], do_classifier_free_guidance=True)
    assert_close(found.embeddings[1:], negative)
    assert_close(found.pooled[1:], negative_pooled)
    assert found.embeddings[0].any()


def test_another_base_has_another_empty_prompt(tmp_path: Path) -> None:
    training = trained(SHAPES["transformer"], tmp_path / "latents.safetensors")
    assert_close(
        training._encode(["a red cat", ""]).embeddings, training.backbone.encode_prompts(["a red cat", ""]).embeddings
    )


def test_latents_are_kept(training: BaseTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "render", lambda *_: pytest.fail("rendered again"))
    again = trained(SHAPES["transformer"], tmp_path / "latents.safetensors")
    assert_close(again.latents, training.latents)
    assert again.pairs == training.pairs


def test_everything_but_the_autoencoder_learns(training: BaseTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    monkeypatch.setattr(module, "base_caption", lambda *_: "a red cat")
    training.training_step(0, 0).backward()
    for name, part in (("denoiser", training.denoiser), *training.encoders.items()):
        silent = [key for key, p in part.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert silent == [], name
    assert all(p.grad is None for p in training.pipeline.vae.parameters())


@pytest.mark.parametrize("kind", SHAPES)
def test_the_loss_weights_clean_sample_errors_by_noise(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(SHAPES[kind], tmp_path / "latents.safetensors")
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
        expected.append(((clean - training.latents[c]) ** 2).mean() / max(share, 0.15))
    assert_close(loss, torch.stack(expected).mean())


def test_the_stages_write_what_can_be_loaded(tmp_path: Path) -> None:
    stage = StageRecipe(steps=2, batch=4, learning_rate=1e-3, renders=16)
    recipe = BaseRecipe(**vars(stage), shape=SHAPES["unet"])
    classifier = make_classifier(stage, output=tmp_path, runs=tmp_path / "runs")
    card = read_card(checked(classifier))
    assert card["recipe"]["renders"] == 16
    assert set(card["accuracy_on_test_renders"]) >= {"hue", "tone"}
    assert not load_classifier(classifier).training
    vae = make_autoencoder(stage, runs=tmp_path / "runs")
    assert (vae / "config.json").is_file()
    base = make_base(recipe, output=tmp_path, runs=tmp_path / "runs", devices=1)
    assert read_card(checked(base))["processes"] == 1
    backbone = load_backbone(base, device="cpu")
    assert backbone.resolution == 32
    assert next(backbone.denoiser.parameters()).dtype == torch.float32
    other = BaseRecipe(**(vars(recipe) | {"shape": SHAPES["transformer"], "parts": base}))
    made = make_base(other, output=tmp_path / "other", runs=tmp_path / "other", devices=1)
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
    training = AutoencoderTraining(seed=0, steps=1, batch=2, learning_rate=1e-3, renders=16)
    vae = training.finish()
    latents = vae.encode(training.images).latent_dist.mean * vae.config.scaling_factor
    assert float(latents.std()) == pytest.approx(1, abs=1e-3)
