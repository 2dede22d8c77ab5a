"""Zoo runs: train a LoRA for each concept, or for one, and sample images of concepts that have none."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lorarar.datasets import (
    AXES,
    Concept,
    Split,
    SyntheticConcept,
    check_readable,
    list_images,
    load_concepts,
    load_splits,
    load_synthetic,
)
from lorarar.diffusion import Backbone, load_backbone, synthesise_concepts
from lorarar.lora import DTYPES, pick_device
from lorarar.storage import ConfigError, cached_path, check_inputs, say, stated
from lorarar.storage.units import UnitWork, run_units
from lorarar.training import DivergenceError, Recipe, describe_seconds, train_zoo, unfinished, zoo_groups
from lorarar.workflows.recipes import RecipeGroup, check_recipes, group_by_recipe
from lorarar.workflows.schemas import TrainConfig, ZooConfig

# Concepts that have descriptions alone need no folder of images.
MADE_LATER = ("images",)


def run_dreambooth(config: ZooConfig) -> Path:
    """Train `config.concept` alone; return the file of its LoRA.

    Raises:
        ArtefactError: The output folder holds its LoRA of another recipe.
        ConfigError: `config.concept` is not set, or the recipe contradicts itself.
        DivergenceError: The loss is not finite.
        ValueError: The recipe does not fit the base, or an image cannot be read.
    """
    if config.concept is None:
        raise ConfigError("expected a concept to train, found none: add concept=NAME, a name from the manifests")
    check_inputs(config, MADE_LATER)
    check_recipes(config)
    concept = load_concepts(config.manifests, config.images, [config.concept])[config.concept]
    start = time.perf_counter()
    splits = load_splits(config.splits, config.split) if config.recipes else {}
    [path] = _train_loras(config, [concept], splits)
    images = ["--prompt", concept.captions[0], "-o", str(config.runs / f"{concept.name}_images")]
    command = shlex.join(["lorarar", "generate", "--base", config.base, "--lora", str(path), *images])
    say(f"{describe_seconds(time.perf_counter() - start)}; next: {command}")
    return path


def run_synthesis(config: ZooConfig) -> list[Path]:
    """Sample reference images of the manifests' concepts that have prompts for them; return the concepts' folders.

    Raises:
        FileNotFoundError: A manifest or the base model does not exist.
        ValueError: No concept has such prompts.
    """
    concepts = load_synthetic(config.manifests, config.images)
    return synthesise_concepts(open_base(config), concepts, sampling=config.sampling)


def run_zoo(config: ZooConfig) -> list[Path]:
    """Train a LoRA for every concept of the splits; return the LoRAs' files.

    Raises:
        ArtefactError: The output folder holds a LoRA of another recipe, or one that differs from its card.
        ConfigError: The recipe contradicts itself.
        DivergenceError: A LoRA diverged; the others are written.
        FileNotFoundError: A path of the configuration does not exist.
        KeyError, ValueError: As `zoo_concepts`.
    """
    check_inputs(config, MADE_LATER)
    check_recipes(config)
    concepts, start = zoo_concepts(config), time.perf_counter()  # before the base, which may take minutes to load
    paths = _train_loras(config, concepts, load_splits(config.splits, config.split))
    first = {concept.kind: path for concept, path in reversed(list(zip(concepts, paths, strict=True)))}
    command = merge_command(*(first[axis] for axis in AXES), folder=config.runs) if len(first) > 1 else ""
    say(f"{describe_seconds(time.perf_counter() - start)}" + (f"; next: {command}" if command else ""))
    return paths


def _train_loras(config: ZooConfig, concepts: Sequence[Concept], splits: Mapping[str, Split]) -> list[Path]:
    """Train the LoRAs of every recipe; those that diverge are named at the end."""
    check_readable(concepts)
    units: dict[str, RecipeGroup] = {}
    for group in group_by_recipe(config, concepts, splits):
        _check_class_prompts(group.recipe, group.concepts)
        if config.offload and group.recipe.text_encoders:
            raise ConfigError(
                "expected offload=false with recipe.text_encoders=true, which trains them: set one of both"
            )
        left = set(unfinished(group.concepts, group.recipe, config.output))
        for members in zoo_groups(group.concepts, group.recipe, config.group):
            if any(concept.name in left for concept in members):
                more = f" and {len(members) - 1} more" if len(members) > 1 else ""
                units[members[0].name + more] = replace(group, concepts=tuple(members))
    work = UnitWork("train the zoo", "groups of LoRAs", partial(_open_zoo, config))
    errors = []
    for result in run_units(work, units, engine=config.engine, workers=config.workers):
        if result.error is not None and not isinstance(result.error, DivergenceError):
            raise result.error
        errors += [str(result.error)] if result.error else []
    if errors:
        raise DivergenceError("; ".join(errors))
    return [config.output / f"{concept.name}.safetensors" for concept in concepts]


def _open_zoo(config: ZooConfig) -> Callable[[RecipeGroup], None]:
    """Load the base; return the function that trains a group of LoRAs in one batch."""
    backbone = open_base(config)

    def train(group: RecipeGroup) -> None:
        train_zoo(
            backbone,
            _with_prior(config, backbone, group),
            group.recipe,
            folder=config.output,
            runs=config.runs,
            group=config.group,
            checkpoint_every=config.checkpoint_every,
            dtype=config.dtype,
            accumulate=config.accumulate,
            latents=config.latents,
            save_precision=group.save_precision,
            format=group.format,
            recipe_name=group.name,
        )

    return train


def _check_class_prompts(recipe: Recipe, concepts: Sequence[Concept]) -> None:
    missing = [concept.name for concept in concepts if recipe.prior_images and not concept.class_prompt]
    if missing:
        raise ConfigError(
            f"expected the prompt of each concept's class for recipe.prior_images, found none of {len(missing)}, first "
            f"{missing[:3]}: add `class_prompt` to the manifest, or set recipe.prior_images=0"
        )


def _with_prior(config: ZooConfig, backbone: Backbone, group: RecipeGroup) -> list[Concept]:
    """Return the concepts with images of their classes, which the base samples once for each class."""
    count, concepts = group.recipe.prior_images, group.concepts
    if not count:
        return list(concepts)
    classes = list(dict.fromkeys(concept.class_prompt for concept in concepts))
    identity = {"base": config.base, "sampling": stated(config.sampling), "images": count}
    folders = [cached_path(config.runs / "prior", identity | {"prompt": prompt}, "") for prompt in classes]
    wanted = [SyntheticConcept(p, folder, (p,) * count) for p, folder in zip(classes, folders, strict=True)]
    synthesised = synthesise_concepts(backbone, wanted, sampling=config.sampling)
    images = {p: tuple(list_images(folder)) for p, folder in zip(classes, synthesised, strict=True)}
    return [replace(concept, prior=images[concept.class_prompt]) for concept in concepts]


def zoo_concepts(config: ZooConfig) -> list[Concept]:
    """Return all concepts of the configured splits.

    Raises:
        FileNotFoundError: A file does not exist, or a concept has no images.
        KeyError: The file has no splits of this name, or a concept is in none of the manifests.
        ValueError: A concept is in two splits, is listed twice, or lacks a caption for an image.
    """
    splits = load_splits(config.splits, config.split)
    names = [name for split in splits.values() for name in (*split.contents, *split.styles)]
    return list(load_concepts(config.manifests, config.images, names).values())


def merge_command(content: Path, style: Path, *, folder: Path, network: Path | None = None) -> str:
    """Return the command that merges two LoRAs into a folder."""
    by = [] if network is None else ["--network", str(network)]
    return shlex.join(["lorarar", "merge", str(content), str(style), *by, "-o", str(folder / "merged.safetensors")])


def open_base(config: ZooConfig | TrainConfig) -> Backbone:
    """Load the base of a configuration; each of several processes on one machine has a GPU of its own."""
    device = str(pick_device(config.device))
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return load_backbone(
        config.base,
        device=device,
        dtype=DTYPES[config.dtype],
        gradient_checkpointing=config.gradient_checkpointing,
        offload=config.offload,
    )
