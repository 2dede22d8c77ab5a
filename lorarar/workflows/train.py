"""Training runs: load what the configuration names, train, write."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

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
from lorarar.diffusion import Backbone, load_backbone, synthesise_concepts, synthesise_pairs
from lorarar.hypernetwork import NETWORK_KINDS, load_network, new_merger
from lorarar.lora import DTYPES, LoRA
from lorarar.mergers import TERMS, check_terms
from lorarar.storage import ConfigError, cached_path, check_inputs, claim_run, say, stated, with_plugins
from lorarar.training import (
    MergerTraining,
    PairData,
    check_recipe,
    describe_seconds,
    tracker,
    train_merger,
    train_zoo,
)
from lorarar.workflows.schemas import TrainConfig, ZooConfig
from lorarar.workflows.training_inputs import TrainingInputs, distilled_pairs, load_training_inputs, unseen_split
from lorarar.worlds.stages import PairScorer, load_classifier

# Concepts that have descriptions alone need no folder of images.
_MADE_LATER = ("images",)


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
    check_inputs(config, _MADE_LATER)
    check_recipe(config.recipe)
    concept = load_concepts(config.manifests, config.images, [config.concept])[config.concept]
    start = time.perf_counter()
    [path] = _train_loras(config, [concept])
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
    return synthesise_concepts(_backbone(config), concepts, sampling=config.sampling)


def run_zoo(config: ZooConfig) -> list[Path]:
    """Train a LoRA for every concept of the splits; return the LoRAs' files.

    Raises:
        ArtefactError: The output folder holds a LoRA of another recipe, or one that differs from its card.
        ConfigError: The recipe contradicts itself.
        DivergenceError: A LoRA diverged; the others are written.
        FileNotFoundError: A path of the configuration does not exist.
        KeyError, ValueError: As `zoo_concepts`.
    """
    check_inputs(config, _MADE_LATER)
    check_recipe(config.recipe)
    concepts, start = zoo_concepts(config), time.perf_counter()  # before the base, which may take minutes to load
    paths = _train_loras(config, concepts)
    first = {concept.kind: path for concept, path in reversed(list(zip(concepts, paths, strict=True)))}
    command = _merge_command(*(first[axis] for axis in AXES), folder=config.runs) if len(first) > 1 else ""
    say(f"{describe_seconds(time.perf_counter() - start)}" + (f"; next: {command}" if command else ""))
    return paths


def _train_loras(config: ZooConfig, concepts: Sequence[Concept]) -> list[Path]:
    check_readable(concepts)
    _check_class_prompts(config, concepts)
    backbone = _backbone(config)
    return train_zoo(
        backbone,
        _with_prior(config, backbone, concepts),
        config.recipe,
        folder=config.output,
        runs=config.runs,
        group=config.group,
        checkpoint_every=config.checkpoint_every,
        dtype=config.dtype,
        save_precision=config.save_precision,
    )


def _check_class_prompts(config: ZooConfig, concepts: Sequence[Concept]) -> None:
    missing = [concept.name for concept in concepts if config.recipe.prior_images and not concept.class_prompt]
    if missing:
        raise ConfigError(
            f"expected the prompt of each concept's class for recipe.prior_images, found none of {len(missing)}, first "
            f"{missing[:3]}: add `class_prompt` to the manifest, or set recipe.prior_images=0"
        )


def _with_prior(config: ZooConfig, backbone: Backbone, concepts: Sequence[Concept]) -> list[Concept]:
    """Return the concepts with images of their classes, which the base samples once for each class."""
    count = config.recipe.prior_images
    if not count:
        return list(concepts)
    classes = list(dict.fromkeys(concept.class_prompt for concept in concepts))
    identity = {"base": config.base, "sampling": stated(config.sampling), "images": count}
    folders = [cached_path(config.runs / "prior", identity | {"prompt": prompt}, "") for prompt in classes]
    wanted = [SyntheticConcept(p, folder, (p,) * count) for p, folder in zip(classes, folders, strict=True)]
    synthesised = synthesise_concepts(backbone, wanted, sampling=config.sampling)
    images = {p: tuple(list_images(folder)) for p, folder in zip(classes, synthesised, strict=True)}
    return [replace(concept, prior=images[concept.class_prompt]) for concept in concepts]


def run_train(config: TrainConfig) -> Path:
    """Train a merger; return the file of the best one on validation pairs.

    Raises:
        ConfigError: The folder holds a run of another configuration, or the configuration has mistakes, see
            `lorarar.workflows.training_inputs`.
        FileNotFoundError: A path of the configuration does not exist.
        ValueError: The kind of merger, or an extra term of the objective, is unknown.
    """
    plugins = train_plugins(config)
    check_inputs(config, _MADE_LATER)
    inputs = load_training_inputs(config)  # a wrong configuration claims no folder
    claim_run(config.runs, config, plugins=plugins)
    module = merger_training(config, inputs)
    facts = {"method": config.merger, "base": config.base, "split": config.split, "seed": str(config.seed)}
    path = train_merger(
        module,
        folder=config.runs,
        monitor=config.monitor,
        mode=config.mode,
        validate_every=config.validate_every,
        patience=config.patience,
        metadata=with_plugins(facts, plugins),
        logger=tracker(config.wandb, config.runs, facts),
        dtype=config.dtype,
    )
    split = unseen_split(inputs.splits)
    files = [config.loras / f"{name}.safetensors" for name in (split.contents[0], split.styles[0])]
    say(f"next: {_merge_command(*files, network=path, folder=config.runs)}")
    return path


def _merge_command(content: Path, style: Path, *, folder: Path, network: Path | None = None) -> str:
    """Return the command that merges two LoRAs into a folder."""
    by = [] if network is None else ["--network", str(network)]
    return shlex.join(["lorarar", "merge", str(content), str(style), *by, "-o", str(folder / "merged.safetensors")])


def train_plugins(config: TrainConfig) -> dict[str, str]:
    """Return the plugins that a training uses, each with its SHA-256.

    Raises:
        ValueError: The kind of merger, or an extra term of the objective, is unknown.
    """
    NETWORK_KINDS.find(config.merger)
    check_terms(config.loss_weights)
    return NETWORK_KINDS.plugins([config.merger]) | TERMS.plugins(config.loss_weights.extra)


def merger_training(config: TrainConfig, inputs: TrainingInputs | None = None) -> MergerTraining:
    """Return the training module of a configuration, before the first step.

    Args:
        config: The configuration.
        inputs: What it names besides the base; None loads it.

    Raises:
        FileNotFoundError: The base model does not exist.
        ConfigError, FileNotFoundError, FormatError, KeyError, ValueError: As `load_training_inputs`.
    """
    inputs = inputs or load_training_inputs(config)
    concepts, splits, loras = inputs.concepts, inputs.splits, inputs.loras
    backbone = _backbone(config)
    data = PairData(
        backbone,
        concepts,
        splits,
        loras,
        pairs=config.pairs,
        images=config.images_per_step,
        seed=config.seed,
        synthetic=_synthetic(config, backbone, concepts, splits) if config.loss_weights.distillation else None,
        weight_jitter=config.weight_jitter,
    )
    torch.manual_seed(config.seed)
    merger = _merger(config, loras)
    scorer = None
    if config.classifier:
        scorer = PairScorer(
            backbone, load_classifier(config.classifier), data.validation_pairs, data.loras, config.seeds
        )
    return MergerTraining(merger, backbone, data, config.recipe, config.loss_weights, scorer)


def _merger(config: TrainConfig, loras: Mapping[str, LoRA]) -> nn.Module:
    """Return a new merger, or the trained one to start from."""
    if config.init is None:
        return new_merger(config.merger, next(iter(loras.values())), config.options)
    return load_network(config.init).module.train()


def _synthetic(
    config: TrainConfig, backbone: Backbone, concepts: Mapping[str, Concept], splits: Mapping[str, Split]
) -> dict[str, Tensor]:
    """Return synthetic images of the pairs that are distilled, as latents.

    A cache beside the run's folder keeps them for all runs of these pairs on this base.
    """
    chosen = distilled_pairs(config, concepts, splits)
    weights = next(backbone.denoiser.parameters()).detach().float().cpu().numpy()
    identity = {
        "base": hashlib.sha256(weights.tobytes()).hexdigest(),  # of the weights: another base may take the path
        "sampling": stated(config.sampling),
        "pairs": [[pair.name, pair.description] for pair in chosen],
    }
    cache = cached_path(config.runs.parent / "synthetic", identity, ".safetensors")
    return synthesise_pairs(backbone, chosen, cache=cache, sampling=config.sampling)


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


def _backbone(config: ZooConfig | TrainConfig) -> Backbone:
    return load_backbone(
        config.base,
        device=config.device,
        dtype=DTYPES[config.dtype],
        gradient_checkpointing=config.gradient_checkpointing,
    )
