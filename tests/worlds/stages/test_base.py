"""lorarar.worlds.stages.base and .runs: the training objective, what learns, what is saved."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from lorarar.datasets.images import load_image
from lorarar.diffusion.loading import load_backbone
from lorarar.storage.cards import checked, read_card
from lorarar.storage.run_folder import ConfigError
from lorarar.worlds.stages.autoencoder import AutoencoderTraining, build_autoencoder
from lorarar.worlds.stages.base import BaseTraining, rate
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
from lorarar.worlds.toy.classifier import AttributeClassifier
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


def test_the_rate_is_warmed_up_constant_and_annealed() -> None:
    recipe = BaseRecipe(steps=1000, batch=1, learning_rate=1.0, renders=1, cooldown=0.2)
    assert [rate(step, recipe) for step in (0, 24, 49, 500, 799)] == pytest.approx([0.02, 0.5, 1, 1, 1])
    assert rate(900, recipe) == pytest.approx(0.5)
    assert rate(999, recipe) == pytest.approx(0, abs=1e-4)


class StoppedError(Exception):
    """The end of a run that did not finish."""


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorarar.worlds.stages.runs._EVERY", 1)
    build_autoencoder().save_pretrained(tmp_path / "autoencoder" / "vae")
    recipe = BaseRecipe(steps=6, batch=2, learning_rate=1e-3, renders=8, shape=SHAPES["unet"])
    step, modules = BaseTraining.training_step, []

    def stop_at(number: int) -> None:
        def training_step(self: BaseTraining, batch: int, index: int) -> torch.Tensor:
            modules.append(self)
            if self.global_step == number:
                raise StoppedError
            return step(self, batch, index)

        monkeypatch.setattr(BaseTraining, "training_step", training_step)

    stop_at(3)
    with pytest.raises(StoppedError):
        make_base(TOY, recipe, output=tmp_path / "stopped", runs=tmp_path, devices=1)
    stop_at(6)
    make_base(TOY, recipe, output=tmp_path / "stopped", runs=tmp_path, devices=1)
    stopped, modules[:] = modules[-1], []
    shutil.rmtree(tmp_path / "base")
    make_base(TOY, recipe, output=tmp_path / "whole", runs=tmp_path, devices=1)
    for found, expected in (
        (stopped.trained(), modules[-1].trained()),
        (stopped.mean_weights, modules[-1].mean_weights),
    ):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len({id(module) for module in modules}) == 1


def test_the_mean_of_the_weights_is_used_for_a_while(training: BaseTraining) -> None:
    first = training.trained()[0]
    weights = first.detach().clone()
    training.mean_weights = [torch.ones_like(p) for p in training.trained()]
    with training.averaged():
        assert bool((first == 1).all())
    assert torch.equal(first, weights)


def test_samples_are_drawn_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorarar.worlds.stages.runs._EVERY", 1)
    plan, asked = TOY.plan("base", 96, 0), []
    monkeypatch.setattr(AttributeClassifier, "read", lambda *_: torch.tensor([TOY.truth(*r[:2]) for r in plan]))

    def sample(backbone: object, loras: list[None], prompts: list[str], *_: object, **__: object) -> list[torch.Tensor]:
        asked.extend(prompts)
        return [draw(TOY, plan)[:, None].float() / 255]

    monkeypatch.setattr("lorarar.worlds.stages.samples.sample_batches", sample)
    build_autoencoder().save_pretrained(tmp_path / "runs" / "autoencoder" / "vae")
    recipe = BaseRecipe(steps=2, batch=2, learning_rate=1e-3, renders=8, shape=SHAPES["unet"], evaluate_every=1)
    make_base(TOY, replace(recipe, steps=1), output=tmp_path, runs=tmp_path / "runs", devices=1)
    save_file(AttributeClassifier().state_dict(), tmp_path / "classifier.safetensors")
    make_base(TOY, recipe, output=tmp_path, runs=tmp_path / "runs", devices=1)
    assert asked == 2 * [f"a {subject.words()} in {style.words()} style" for subject, style, _ in plan]
    folder = tmp_path / "runs" / "base" / "samples"
    assert load_image(folder / "000002.png").size == (12 * 32, 8 * 32)
    first, second = (json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines())
    assert set(first) == {"step", "loss"}
    assert (second["step"], second["category"], second["strict"]) == (2, 1, 1)
