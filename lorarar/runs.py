"""From a configuration to a finished run: load what it names, train, write."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lorarar.backbone import Backbone, load_backbone
from lorarar.benchmark.zoo import compare_throughput
from lorarar.concepts import Concept, Split, load_concepts, load_drawn, load_splits, seed_of
from lorarar.config import ConfigError, TrainConfig, ZooConfig, keep_config
from lorarar.draws import step_generator
from lorarar.dreambooth import DreamBoothTraining
from lorarar.fitting import fit
from lorarar.imagining import imagine, imagine_concepts
from lorarar.lora import LoRA
from lorarar.mergers.build import new_merger
from lorarar.mergers.files import load_merger, merger_kind
from lorarar.pairs import PairData, load_loras
from lorarar.toyworld.reader import load_reader
from lorarar.toyworld.scoring import PairScorer
from lorarar.tracking import tracker
from lorarar.training import MergerTraining, train_merger
from lorarar.zoo import train_zoo, write_lora

# Mixed precision keeps the frozen base in the short type and what is trained in float32.
_DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}


def run_dreambooth(config: ZooConfig) -> Path:
    """Train ``config.concept`` alone with peft."""
    if config.concept is None:
        raise ValueError("expected a concept to train, found none: add concept=NAME, a name from the manifests")
    concept = load_concepts(config.manifests, config.images, [config.concept])[config.concept]
    run = config.runs / concept.name
    keep_config(config, run)
    module = DreamBoothTraining(_backbone(config), concept, config.recipe)
    fit(
        module,
        steps=config.recipe.steps_of(concept.name),
        folder=run,
        accelerator=module.backbone.device.type,
        checkpoint_every=config.checkpoint_every,
        precision=config.precision,
    )
    path = config.output / f"{concept.name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lora(module.lora(), concept, config.recipe, path)
    shutil.rmtree(run)
    return path


def run_imagine(config: ZooConfig) -> list[Path]:
    """Draw the reference images of the manifests' concepts that have prompts for them."""
    drawn = load_drawn(config.manifests, config.images)
    return imagine_concepts(_backbone(config), drawn, sampling=config.sampling)


def run_zoo(config: ZooConfig) -> list[Path]:
    """Train every concept of the splits."""
    return train_zoo(
        _backbone(config),
        _concepts(config),
        config.recipe,
        folder=config.output,
        runs=config.runs,
        group=config.group,
        checkpoint_every=config.checkpoint_every,
        precision=config.precision,
    )


def run_zoo_speed(config: ZooConfig) -> str:
    """Throughput of ``config.group`` LoRAs at once over one by one with peft, measured side by side."""
    members = _concepts(config)[: config.group]
    found = compare_throughput(config.base, members, config.recipe, steps=10, rounds=3)
    return json.dumps({key: round(value, 4) for key, value in found.items()})


def run_train(config: TrainConfig) -> Path:
    """Train a merger; returns the file of the best one on validation pairs.

    Raises:
        ConfigError: the folder holds a run of another configuration, or ``start`` a merger of another kind.
    """
    keep_config(config, config.runs)
    module = merger_training(config)
    facts = {"method": config.merger, "base": config.base, "split": config.split, "seed": str(config.seed)}
    return train_merger(
        module,
        folder=config.runs,
        monitor=config.monitor,
        mode=config.mode,
        validate_every=config.validate_every,
        patience=config.patience,
        metadata=facts,
        logger=tracker(config.wandb, config.runs, facts),
        precision=config.precision,
    )


def merger_training(config: TrainConfig) -> MergerTraining:
    """The module of a configuration, untrained."""
    splits = load_splits(config.splits, config.split)
    names = [n for split in ("train", "validation") for n in (*splits[split].contents, *splits[split].styles)]
    concepts = load_concepts(config.manifests, config.images, names)
    loras = load_loras(config.loras, names)
    backbone = _backbone(config)
    data = PairData(
        backbone,
        concepts,
        splits,
        loras,
        pairs=config.pairs,
        images=config.images_per_step,
        seed=config.seed,
        imagined=_imagined(config, backbone, concepts, splits) if config.weights.described else None,
        spread=config.spread,
    )
    torch.manual_seed(config.seed)
    merger = _merger(config, loras)
    scorer = None
    if config.reader:
        scorer = PairScorer(backbone, load_reader(config.reader), data.validation_pairs, data.loras, config.seeds)
    return MergerTraining(merger, backbone, data, config.recipe, config.weights, scorer)


def _merger(config: TrainConfig, loras: Mapping[str, LoRA]) -> nn.Module:
    """A new merger, or the one to go on from.

    Raises:
        ConfigError: that one is of another kind.
    """
    if config.start is None:
        return new_merger(config.merger, next(iter(loras.values())), config.options)
    kind = merger_kind(config.start)
    if kind != config.merger:
        raise ConfigError(
            f"expected a merger of kind {config.merger!r} in {config.start}, found {kind!r}: set merger={kind}"
        )
    return load_merger(config.start).train()


def _imagined(
    config: TrainConfig, backbone: Backbone, concepts: Mapping[str, Concept], splits: Mapping[str, Split]
) -> dict[str, Tensor]:
    """What the base draws of ``config.imagined`` training pairs and of all validation pairs.

    It is kept beside the run's folder, for all runs of these pairs on this base.
    """
    pairs = splits["train"].pairs(concepts)
    order = torch.randperm(len(pairs), generator=step_generator("imagined")).tolist()
    chosen = [pairs[i] for i in order[: config.imagined or len(pairs)]] + splits["validation"].pairs(concepts)
    weights = next(backbone.denoiser.parameters()).detach().float().cpu().numpy()
    base = hashlib.sha256(weights.tobytes()).hexdigest()  # tells bases of one path apart
    key = seed_of(base, config.sampling, *(f"{pair.name}: {pair.description}" for pair in chosen))
    cache = config.runs.parent / f"imagined_{key:08x}.safetensors"
    return imagine(backbone, chosen, cache=cache, sampling=config.sampling)


def _concepts(config: ZooConfig) -> list[Concept]:
    """All concepts of the configured splits."""
    splits = load_splits(config.splits, config.split)
    names = [name for split in splits.values() for name in (*split.contents, *split.styles)]
    return list(load_concepts(config.manifests, config.images, names).values())


def _backbone(config: ZooConfig | TrainConfig) -> Backbone:
    return load_backbone(
        config.base,
        device=config.device,
        dtype=_DTYPES[config.precision],
        gradient_checkpointing=config.gradient_checkpointing,
    )
