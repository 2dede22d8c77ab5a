"""Runs of the stages that make a world's classifier, autoencoder and base: train, measure, save with a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save_file
from torch import Tensor

from lorarar.storage import ConfigError, atomic_write, claim_run, sha256, write_card
from lorarar.training import fit
from lorarar.worlds.stages.autoencoder import AutoencoderTraining
from lorarar.worlds.stages.base import BaseTraining
from lorarar.worlds.stages.classifier import ClassifierTraining, load_classifier
from lorarar.worlds.stages.pipelines import build_pipeline, new_parts, parts_of
from lorarar.worlds.stages.precision import fast_dtype, plain_attention
from lorarar.worlds.stages.recipes import AutoencoderRecipe, BaseRecipe, StageRecipe, WorldConfig
from lorarar.worlds.stages.renders import draw, kept_parts, kept_renders
from lorarar.worlds.stages.samples import Samples
from lorarar.worlds.stages.world import World, WorldClassifier, from_bytes
from lorarar.worlds.table import world_named

_TESTED = 256  # renders of the test split
_EVERY = 250  # steps: minutes on one core
Recipe = TypeVar("Recipe", bound=StageRecipe)


def run_classifier(config: WorldConfig) -> Path:
    """Train the world's classifier; write `output/classifier.safetensors` and its card.

    Raises:
        ConfigError: The configuration has no recipe for it, or the run's folder has other settings.
    """
    recipe = _required("classifier", config.classifier)
    claim_run(config.runs / "classifier", recipe)
    return make_classifier(world_named(config.world), recipe, output=config.output, runs=config.runs)


def run_autoencoder(config: WorldConfig) -> Path:
    """Train the autoencoder; write `runs/autoencoder/vae`.

    Raises:
        ConfigError: The configuration has no recipe for it, or the run's folder has other settings.
    """
    recipe = _required("autoencoder", config.autoencoder)
    claim_run(config.runs / "autoencoder", recipe)
    return make_autoencoder(world_named(config.world), recipe, runs=config.runs)


def run_base(config: WorldConfig) -> Path:
    """Train the base on the autoencoder's latents; write `output/base` and its card.

    Raises:
        ConfigError: The run's folder has other settings; the number of steps and the sheets may change.
    """
    claim_run(config.runs / "base", config.base, ignored=["steps", "evaluate_every"])
    world = world_named(config.world)
    return make_base(world, config.base, output=config.output, runs=config.runs, devices=config.devices)


def _required(stage: str, recipe: Recipe | None) -> Recipe:
    if recipe is None:
        raise ConfigError(f"expected a recipe for the {stage}, found none: add {stage}: to the configuration")
    return recipe


def make_classifier(world: World, recipe: StageRecipe, *, output: Path, runs: Path) -> Path:
    """Train the world's classifier; write `output/classifier.safetensors` and its card."""
    torch.manual_seed(recipe.seed)
    plan = world.plan("known", recipe.renders, recipe.seed)
    images = kept_renders(world, plan, runs / "renders")
    true = torch.tensor([world.truth(content, style) for content, style, _ in plan])
    module = ClassifierTraining(recipe, world.new_classifier(), images, true)
    folder = runs / "classifier"
    _fit(module, recipe.steps, folder, "train the classifier")
    classifier = module.classifier.eval().cpu()
    classifier.finish()
    path = output / "classifier.safetensors"
    output.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    with atomic_write(path, force=True) as temporary:
        save_file(state, temporary, metadata={"world": world.name})
    facts = classifier_facts(load_classifier(path))
    write_card(path, what=f"classifier of the world {world.name!r}", recipe=asdict(recipe), **facts)
    return path


def make_autoencoder(world: World, recipe: AutoencoderRecipe, *, runs: Path) -> Path:
    """Train the AutoencoderKL; write `runs/autoencoder/vae`."""
    images = kept_renders(world, world.plan("known", recipe.renders, recipe.seed), runs / "renders")
    module = AutoencoderTraining(recipe, images)
    folder = runs / "autoencoder"
    _fit(module, recipe.steps, folder, "train the autoencoder")
    module.finish().save_pretrained(folder / "vae")
    return folder / "vae"


def _fit(module: LightningModule, steps: int, folder: Path, stage: str, **options: Any) -> None:
    fit(module, steps=steps, folder=folder, stage=stage, checkpoint_every=_EVERY, dtype=fast_dtype(), **options)


def make_base(world: World, recipe: BaseRecipe, *, output: Path, runs: Path, devices: int) -> Path:
    """Train the base on the autoencoder's latents; write `output/base` in fp16 and its card."""
    torch.manual_seed(recipe.seed)
    vae = (recipe.parts or runs / "autoencoder") / "vae"
    if recipe.parts:
        parts = parts_of(recipe.parts)
    else:
        parts = new_parts(AutoencoderKL.from_pretrained(vae).eval(), world, recipe.shape)
    pipeline = build_pipeline(parts, recipe.shape)
    pipeline.set_progress_bar_config(disable=True)
    if recipe.shape.denoiser == "unet":
        plain_attention(pipeline.unet)
    plan = world.plan("base", recipe.renders, recipe.seed)
    latents = encoded_renders(world, plan, parts.autoencoder, vae, runs / "base" / "latents")
    module = BaseTraining(world, pipeline, recipe, plan, latents)
    devices = 1 if torch.cuda.is_available() else devices  # processes of one thread each are for CPUs
    samples = _samples(recipe, output, runs)
    _fit(module, recipe.steps, runs / "base", "train the base", devices=devices, callbacks=samples)
    if module.global_rank == 0:
        save_base(module, output, devices)
    return output / "base"


@torch.no_grad()
def encoded_renders(world: World, plan: Sequence[Any], autoencoder: AutoencoderKL, files: Path, folder: Path) -> Tensor:
    """Return the scaled latents of a plan's renders in fp16; those of this autoencoder are kept in a folder.

    Args:
        world: The world.
        plan: Images to draw.
        autoencoder: The autoencoder.
        files: Its folder.
        folder: Where the latents are kept.
    """
    scale = autoencoder.config.scaling_factor

    def encode(images: Tensor) -> Tensor:
        parts = [autoencoder.encode(from_bytes(part)).latent_dist.mean * scale for part in images.split(100)]
        return torch.cat(parts).half()

    weights = sha256(files / "diffusion_pytorch_model.safetensors")
    return kept_parts(world, plan, folder, encode, "encode", weights)


def _samples(recipe: BaseRecipe, output: Path, runs: Path) -> list[Callback]:
    if recipe.evaluate_every is None:
        return []
    return [Samples(output / "classifier.safetensors", runs / "base" / "samples", recipe.evaluate_every)]


def save_base(module: BaseTraining, output: Path, devices: int) -> None:
    """Write the trained pipeline and its card."""
    path = output / "base"
    save_pipeline(module.pipeline, path)
    parts = {"denoiser": module.denoiser, "autoencoder": module.pipeline.vae, **module.backbone.encoders}
    write_card(
        path,
        what=f"{type(module.pipeline).__name__} of the world {module.world.name!r}, trained from scratch",
        recipe=json.loads(json.dumps(asdict(module.recipe), default=str)),
        processes=devices,
        parameters={name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
    )


def save_pipeline(pipeline: DiffusionPipeline, path: Path) -> None:
    """Write a pipeline in fp16 under a temporary name, then rename its folder."""
    temporary = path.with_name(f"{path.name}.part")
    pipeline.to(dtype=torch.float16).save_pretrained(temporary)
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)


@torch.no_grad()
def classifier_facts(classifier: WorldClassifier) -> dict[str, Any]:
    """Score the classifier on renders of test pairs, which training excludes, and on noise, blanks and other pairs.

    On these last three its scores should be those of chance.
    """
    images, true = held_out_renders(classifier.world)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blanks = torch.linspace(-1, 1, len(images)).view(-1, 1, 1, 1).expand_as(images)
    styles = len({row[-1] for row in _pairs(classifier.world)})
    others = torch.roll(images, 3 * styles + 5, 0)  # three contents and five styles further: nothing agrees
    return {
        **classifier.facts(images, true),
        "test_renders": _means(classifier, images, true),
        "noise": _means(classifier, noise, true),
        "blanks": _means(classifier, blanks, true),
        "images_of_another_pair": _means(classifier, others, true),
    }


def _pairs(world: World) -> list[tuple[Any, Any]]:
    return [(content, style) for content, style, _ in world.plan("test", _TESTED, 0)]


def held_out_renders(world: World) -> tuple[Tensor, Tensor]:
    """Return renders of the test pairs, (n, 3, size, size), -1 to 1, and their truths (n, values)."""
    plan = world.plan("test", _TESTED, 0)
    return from_bytes(draw(world, plan)), torch.tensor([world.truth(content, style) for content, style, _ in plan])


@torch.no_grad()
def reconstruct_images(autoencoder: Path, images: Tensor) -> Tensor:
    """Return images (n, 3, size, size), -1 to 1, as an autoencoder's folder reconstructs them."""
    vae = AutoencoderKL.from_pretrained(autoencoder, torch_dtype=torch.float32).eval()
    parts = [vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1) for part in images.split(64)]
    return torch.cat(parts)


def _means(classifier: WorldClassifier, images: Tensor, true: Tensor) -> dict[str, float]:
    return {name: round(float(values.mean()), 4) for name, values in classifier.score(images, true).items()}
