"""Training runs: load what the configuration names, train, write."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lorarar.datasets import Concept, Split
from lorarar.diffusion import Backbone, synthesise_pairs
from lorarar.hypernetwork import NETWORK_KINDS, load_network, new_merger
from lorarar.lora import LoRA
from lorarar.mergers import TERMS, check_terms
from lorarar.storage import cached_path, check_inputs, claim_run, say, stated, with_plugins
from lorarar.training import MergerTraining, PairData, tracker, train_merger
from lorarar.workflows.schemas import TrainConfig
from lorarar.workflows.training_inputs import (
    TrainingInputs,
    distilled_pairs,
    load_training_inputs,
    union_of,
    unseen_split,
)
from lorarar.workflows.zoo import MADE_LATER, merge_command, open_base
from lorarar.worlds.stages import PairScorer, load_classifier


def run_train(config: TrainConfig) -> Path:
    """Train a merger; return the file of the best one on validation pairs.

    Raises:
        ConfigError: The folder holds a run of another configuration, or the configuration has mistakes, see
            `lorarar.workflows.training_inputs`.
        FileNotFoundError: A path of the configuration does not exist.
        ValueError: The kind of merger, or an extra term of the objective, is unknown.
    """
    plugins = train_plugins(config)
    check_inputs(config, MADE_LATER)
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
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=config.strategy,
    )
    split = unseen_split(inputs.splits)
    files = [config.loras / f"{name}.safetensors" for name in (split.contents[0], split.styles[0])]
    say(f"next: {merge_command(*files, network=path, folder=config.runs)}")
    return path


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
    backbone = open_base(config)
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
        latents=config.latents,
    )
    torch.manual_seed(config.seed)
    merger = _merger(config, loras)
    scorer = None
    if config.classifier:
        scorer = PairScorer(
            backbone, load_classifier(config.classifier), data.validation_pairs, data.loras, config.seeds
        )
    return MergerTraining(merger, backbone, data, config.recipe, config.loss_weights, scorer, config.accumulate)


def _merger(config: TrainConfig, loras: Mapping[str, LoRA]) -> nn.Module:
    """Return a new merger, or the trained one to start from."""
    if config.init is None:
        return new_merger(config.merger, union_of(loras), config.options)
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
