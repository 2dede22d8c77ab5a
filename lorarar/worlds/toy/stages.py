"""Stages that make the embedded default's classifier, autoencoder and base: train, measure, save with a card."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from lorarar.diffusion import load_backbone
from lorarar.storage import ConfigError, atomic_write, claim_run, write_card
from lorarar.training import fit
from lorarar.worlds.toy.attributes import ATTRIBUTES, truth
from lorarar.worlds.toy.autoencoder import AutoencoderTraining
from lorarar.worlds.toy.base import BaseTraining
from lorarar.worlds.toy.classifier import AttributeClassifier, ClassifierTraining, load_classifier, score, to_tensor
from lorarar.worlds.toy.pipelines import SharedParts, build_pipeline, new_parts, parts_of
from lorarar.worlds.toy.recipes import BaseRecipe, StageRecipe, WorldConfig
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import toy_world


def run_classifier(config: WorldConfig) -> Path:
    """Train the attribute classifier; write `output/classifier.safetensors` and its card.

    Raises:
        ConfigError: The configuration has no recipe for it, or the run's folder has other settings.
    """
    recipe = _required("classifier", config.classifier)
    claim_run(config.runs / "classifier", recipe)
    return make_classifier(recipe, output=config.output, runs=config.runs)


def run_autoencoder(config: WorldConfig) -> Path:
    """Train the autoencoder; write `runs/autoencoder/vae`.

    Raises:
        ConfigError: The configuration has no recipe for it, or the run's folder has other settings.
    """
    recipe = _required("autoencoder", config.autoencoder)
    claim_run(config.runs / "autoencoder", recipe)
    return make_autoencoder(recipe, runs=config.runs)


def run_base(config: WorldConfig) -> Path:
    """Train the base on the autoencoder's latents; write `output/base` and its card.

    Raises:
        ConfigError: The run's folder has other settings.
    """
    claim_run(config.runs / "base", config.base)
    return make_base(config.base, output=config.output, runs=config.runs, devices=config.devices)


def _required(stage: str, recipe: StageRecipe | None) -> StageRecipe:
    if recipe is None:
        raise ConfigError(f"expected a recipe for the {stage}, found none: add {stage}: to the configuration")
    return recipe


def make_classifier(recipe: StageRecipe, *, output: Path, runs: Path) -> Path:
    """Train the attribute classifier; write `output/classifier.safetensors` and its card."""
    module = ClassifierTraining(**asdict(recipe))
    fit(module, steps=recipe.steps, folder=runs / "classifier", stage="train the classifier")
    path = output / "classifier.safetensors"
    output.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in module.classifier.state_dict().items()}
    with atomic_write(path, force=True) as temporary:
        save_file(state, temporary)
    write_card(
        path,
        what="attribute classifier of the toy world",
        recipe=asdict(recipe),
        **classifier_facts(load_classifier(path)),
    )
    return path


def make_autoencoder(recipe: StageRecipe, *, runs: Path) -> Path:
    """Train the AutoencoderKL; write `runs/autoencoder/vae`."""
    module = AutoencoderTraining(**asdict(recipe))
    fit(module, steps=recipe.steps, folder=runs / "autoencoder", stage="train the autoencoder")
    path = runs / "autoencoder" / "vae"
    module.finish().save_pretrained(path)
    return path


def make_base(recipe: BaseRecipe, *, output: Path, runs: Path, devices: int) -> Path:
    """Train the base on the autoencoder's latents; write `output/base` in fp16 and its card."""
    torch.manual_seed(recipe.seed)
    parts = parts_of(recipe.parts) if recipe.parts else _new_parts(runs)
    stage = {entry.name: getattr(recipe, entry.name) for entry in fields(StageRecipe)}
    pipeline = build_pipeline(parts, recipe.shape)
    module = BaseTraining(pipeline, cache=runs / "base" / "latents.safetensors", **stage)
    devices = 1 if torch.cuda.is_available() else devices  # processes of one thread each are for CPUs
    fit(module, steps=recipe.steps, folder=runs / "base", devices=devices, stage="train the base")
    if module.global_rank == 0:
        save_base(module, recipe, output, devices)
    return output / "base"


def _new_parts(runs: Path) -> SharedParts:
    return new_parts(AutoencoderKL.from_pretrained(runs / "autoencoder" / "vae").eval())


def save_base(module: BaseTraining, recipe: BaseRecipe, output: Path, devices: int) -> None:
    """Write the trained pipeline under a temporary name, then rename it and write its card."""
    path, temporary = output / "base", output / "base.part"
    module.pipeline.to(dtype=torch.float16).save_pretrained(temporary)
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)
    parts = {"denoiser": module.denoiser, "autoencoder": module.pipeline.vae, **module.backbone.encoders}
    write_card(
        path,
        what=f"{type(module.pipeline).__name__} of the toy world, trained from scratch",
        recipe=json.loads(json.dumps(asdict(recipe), default=str)),
        processes=devices,
        parameters={name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
    )


@torch.no_grad()
def classifier_facts(classifier: AttributeClassifier) -> dict[str, dict[str, float]]:
    """Score the classifier on renders of test pairs, which training excludes, and on noise, blanks and other pairs.

    On these last three its scores should be those of chance.
    """
    images, true = _test_renders()
    recognised = classifier.read(images)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blanks = torch.linspace(-1, 1, len(images)).view(-1, 1, 1, 1).expand_as(images)
    others = torch.roll(images, 3 * 8 + 5, 0)  # three contents and five styles further: nothing agrees
    return {
        "accuracy_on_test_renders": dict(zip(ATTRIBUTES, (recognised == true).float().mean(0).tolist(), strict=True)),
        "test_renders": _means(recognised, true),
        "noise": _means(classifier.read(noise), true),
        "blanks": _means(classifier.read(blanks), true),
        "images_of_another_pair": _means(classifier.read(others), true),
        "chance": chance(),
    }


def _test_renders() -> tuple[Tensor, Tensor]:
    """Return four renders of each test pair, (n, 3, 32, 32), -1 to 1, and their attributes (n, 8)."""
    pairs = [(subject, style) for subject in toy_world().subjects["test"] for style in toy_world().styles["test"]]
    images = to_tensor([render(*pair, seed) for seed in range(4) for pair in pairs])
    return images, torch.tensor([truth(*pair) for pair in pairs] * 4)


def chance() -> dict[str, float]:
    """Return the mean scores of guessing each attribute at random."""
    inverse = [1 / values for values in ATTRIBUTES.values()]
    return {"content": sum(inverse[:4]) / 4, "style": sum(inverse[4:]) / 4}


@torch.no_grad()
def reconstruction_facts(base: Path, classifier: AttributeClassifier) -> dict[str, float]:
    """Score the base's reconstructions of test renders by the classifier."""
    backbone = load_backbone(base, device="cpu")
    images, true = _test_renders()
    vae = backbone.pipeline.vae
    latents = backbone.encode_images(images) / vae.config.scaling_factor
    return _means(classifier.read(vae.decode(latents).sample.clamp(-1, 1)), true)


def _means(recognised: Tensor, true: Tensor) -> dict[str, float]:
    return {name: round(float(values.mean()), 4) for name, values in score(recognised, true).items()}
