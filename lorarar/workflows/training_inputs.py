"""Training inputs: what a merger is trained on besides the base, checked and loaded before the base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from lorarar.datasets import Concept, Pair, Split, load_concepts, load_splits
from lorarar.hypernetwork import check_options, load_network, new_merger
from lorarar.lora import LoRA, check_same_shapes
from lorarar.storage import ConfigError, join_mistakes, unknown_name
from lorarar.training import load_loras, step_generator
from lorarar.workflows.schemas import TrainConfig
from lorarar.worlds.toy import CLASSIFIER_SCORES

_SPLITS = ("train", "validation")


@dataclass(frozen=True)
class TrainingInputs:
    """Concepts by name, splits by name, and LoRAs by the concept's name."""

    concepts: Mapping[str, Concept]
    splits: Mapping[str, Split]
    loras: Mapping[str, LoRA]


def load_training_inputs(config: TrainConfig) -> TrainingInputs:
    """Check a training's configuration and load what it names, all but the base.

    Raises:
        ConfigError: The message names every mistake, see `find_training_mistakes`; or the merger cannot be built.
        FileNotFoundError: A file does not exist, or concepts have no images.
        FormatError: A LoRA is damaged.
        KeyError: The file has no splits of this name, or a concept is in none of the manifests.
        ValueError: The splits share a concept, or a layer of the LoRAs has several shapes.
    """
    mistakes = find_training_mistakes(config)
    if mistakes:
        raise ConfigError(join_mistakes(mistakes))
    splits = load_splits(config.splits, config.split)
    names = names_of(splits)
    concepts = load_concepts(config.manifests, config.images, names)
    loras = load_loras(config.loras, names, config.base)
    check_same_shapes(list(loras.values()))
    if config.init is None:
        try:
            new_merger(config.merger, union_of(loras), config.options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"expected options of the merger {config.merger!r}: {error}") from error
    return TrainingInputs(concepts, splits, loras)


def find_training_mistakes(config: TrainConfig) -> list[str]:
    """Return every mistake that shows without the base and without opening a LoRA.

    Raises:
        FileNotFoundError, KeyError, ValueError: Splits or concepts cannot be read, as `load_training_inputs`.
    """
    splits = load_splits(config.splits, config.split)
    mistakes = [*_split_mistakes(config, splits), *_merger_mistakes(config), *_monitor_mistakes(config)]
    if all(name in splits for name in _SPLITS):
        concepts = load_concepts(config.manifests, config.images, names_of(splits))
        mistakes += [*_lora_mistakes(config, splits), *_description_mistakes(config, concepts, splits)]
    return mistakes


def union_of(loras: Mapping[str, LoRA]) -> LoRA:
    """Return a LoRA with the layers of all, which tells a merger's size."""
    return LoRA({layer: delta for lora in loras.values() for layer, delta in lora.layers.items()})


def names_of(splits: Mapping[str, Split]) -> list[str]:
    """Return the concepts of the training and the validation split, in their order."""
    return [name for split in _SPLITS for name in (*splits[split].contents, *splits[split].styles)]


def unseen_split(splits: Mapping[str, Split]) -> Split:
    """Return the first split with pairs that training does not use; the validation split where there is none."""
    others = [split for name, split in splits.items() if name not in _SPLITS and split.contents and split.styles]
    return others[0] if others else splits["validation"]


def distilled_pairs(config: TrainConfig, concepts: Mapping[str, Concept], splits: Mapping[str, Split]) -> list[Pair]:
    """Return the pairs with synthetic images: `config.synthetic_pairs` training pairs and all validation pairs."""
    pairs = splits["train"].pairs(concepts)
    # This text is a seed: another text would choose other pairs, and published runs would not repeat.
    order = torch.randperm(len(pairs), generator=step_generator("imagined")).tolist()
    return [pairs[i] for i in order[: config.synthetic_pairs or len(pairs)]] + splits["validation"].pairs(concepts)


def _split_mistakes(config: TrainConfig, splits: Mapping[str, Split]) -> Iterator[str]:
    for name in _SPLITS:
        if name not in splits:
            yield f"expected the split {name!r} in {config.split!r} of {config.splits}, found {sorted(splits)}: add it"
        elif not (splits[name].contents and splits[name].styles):
            yield (
                f"expected contents and styles in the split {name!r} of {config.splits}, found "
                f"{len(splits[name].contents)} contents and {len(splits[name].styles)} styles: it has no pairs"
            )


def _merger_mistakes(config: TrainConfig) -> Iterator[str]:
    if config.init is not None:
        kind = load_network(config.init).kind
        if kind != config.merger:
            yield (f"expected a merger of kind {config.merger!r} in {config.init}, found {kind!r}: set merger={kind}")
        return
    try:
        check_options(config.merger, config.options)
    except ValueError as error:
        yield str(error)


def _monitor_mistakes(config: TrainConfig) -> Iterator[str]:
    weights = config.loss_weights
    values = ["loss", "similarity", *(name for name, weight in weights.extra.items() if weight)]
    values += ["content", "style"] if weights.fidelity or weights.combined else []
    values += [name for name in ("combined", "distillation") if getattr(weights, name)]
    values += CLASSIFIER_SCORES if config.classifier else []
    known = [f"validation/{name}" for name in dict.fromkeys(values)]
    if config.monitor not in known:
        yield unknown_name("a validated value for monitor", config.monitor, known)


def _lora_mistakes(config: TrainConfig, splits: Mapping[str, Split]) -> Iterator[str]:
    names = names_of(splits)
    missing = [name for name in names if not (config.loras / f"{name}.safetensors").is_file()]
    if missing:
        yield (
            f"expected a LoRA NAME.safetensors for each of {len(names)} concepts in {config.loras}, found none of "
            f"{_listed(missing)}: train them by `lorarar zoo`, or set loras=FOLDER"
        )


def _description_mistakes(
    config: TrainConfig, concepts: Mapping[str, Concept], splits: Mapping[str, Split]
) -> Iterator[str]:
    if not config.loss_weights.distillation:
        return
    pairs = distilled_pairs(config, concepts, splits)
    members = [member for pair in pairs for member in (pair.content, pair.style)]
    missing = list(dict.fromkeys(member.name for member in members if not member.description))
    if missing:
        yield (
            f"expected a description of each concept, which loss_weights.distillation needs, found none of "
            f"{_listed(missing)}: add `description` to the manifest, in words that the base understands, or set "
            "loss_weights.distillation=0"
        )


def _listed(names: list[str]) -> str:
    """Return up to five names, and how many there are more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
