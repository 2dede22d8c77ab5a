"""Builders: from a row's settings to its method, one builder for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorarar.benchmark.ceiling import fit_coefficients
from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.methods import (
    BatchMerge,
    MeasuredMerge,
    RowMethod,
    draw_merged,
    merge_in_batch,
    merge_one_by_one,
    merge_sum,
)
from lorarar.benchmark.quality.optimised import optimised_merge
from lorarar.benchmark.quality.settings import (
    FileSettings,
    JointSettings,
    MergerSettings,
    PairSettings,
    ReferenceSettings,
    RowSettings,
    TrainedSettings,
    TruthSettings,
)
from lorarar.datasets import Pair
from lorarar.diffusion import rank_signals, sample_composed
from lorarar.hypernetwork import NothingPredictedError, load_network
from lorarar.lora import LoRA, input_weights, merge_exactly, weight_loras
from lorarar.mergers import (
    MERGERS,
    TERMS,
    MergeRequest,
    combine,
)
from lorarar.storage import digest, sha256, stated
from lorarar.training import joint_concept, load_loras, train_zoo
from lorarar.workflows import name_describer, run_train, train_plugins


def build_method(inputs: QualityInputs, settings: RowSettings, training_seed: int = 0) -> RowMethod:
    """Return the method of a row; a "trained" one is trained first, unless its file exists.

    Raises:
        ConfigError, ArtefactError, ValueError: A merger cannot be trained or read.
    """
    match settings:
        case ReferenceSettings():
            return _reference(inputs, settings)
        case TruthSettings():
            return _truth(inputs, settings)
        case JointSettings():
            return _joint(inputs, settings)
        case MergerSettings():
            return _runtime(inputs, settings) if settings.merger.kind == "runtime" else _merger(inputs, settings)
        case PairSettings():
            return _pair(inputs, settings)
        case TrainedSettings():
            return _learned(inputs, _train(inputs, settings, training_seed), other_pair=settings.other_pair)
        case FileSettings():
            return _learned(inputs, settings.file)


def _reference(inputs: QualityInputs, settings: ReferenceSettings) -> RowMethod:
    def merge(pairs: Sequence[Pair]) -> list[MeasuredMerge]:
        if settings.source == "base":
            return [MeasuredMerge(None) for _ in pairs]
        return [MeasuredMerge(inputs.loras[getattr(pair, settings.source).name]) for pair in pairs]

    return RowMethod({"kind": settings.source}, merge, partial(draw_merged, inputs))


def _merger(inputs: QualityInputs, settings: MergerSettings) -> RowMethod:
    request = MergeRequest(
        merger=settings.merger.name,
        weights=settings.weights,
        options=settings.options,
        balance=settings.balance,
        svc=settings.svc,
        dense=settings.form == "dense",
        device=str(inputs.backbone.device),
    )

    def merge_pair(pair: Pair) -> LoRA:
        prompts = [pair.content.phrase, pair.style.phrase]
        probe = partial(rank_signals, inputs.backbone, prompts=prompts) if settings.merger.signals else None
        return combine(inputs.pair_loras(pair), request, probe).lora

    return _merging(inputs, _identity(settings), merge_pair)


def _runtime(inputs: QualityInputs, settings: MergerSettings) -> RowMethod:
    """Return a method that acts while sampling: there is nothing to merge."""
    merger = MERGERS[settings.merger.name]

    def draw(pairs: Sequence[Pair], merges: Sequence[MeasuredMerge], seeds: Sequence[int]) -> Tensor:
        def compose(pair: Pair, part: Sequence[int]) -> Tensor:
            loras, sampling = inputs.pair_loras(pair), inputs.sampling
            weighted = weight_loras(loras, input_weights(loras, settings.weights))
            return sample_composed(inputs.backbone, weighted, merger, pair.prompt, part, sampling, settings.options)

        return torch.stack([inputs.draw(partial(compose, pair), seeds) for pair in pairs])

    return RowMethod(_identity(settings), lambda pairs: [MeasuredMerge(None) for _ in pairs], draw)


def _identity(settings: MergerSettings) -> dict[str, Any]:
    name, options, weights = settings.merger.name, settings.options, settings.weights
    identity: dict[str, Any] = {"kind": "merger", "merger": name, "options": options, "weights": weights}
    if settings.merger.kind == "runtime" and weights:  # older cells state weights that were not applied
        identity["weighted"] = True
    if settings.form == "truncated":  # dense rows were measured before there was a choice
        identity["form"] = settings.form
    balance = settings.merger.balance if settings.balance is None else settings.balance
    if balance:  # rows without were measured before there was a choice
        identity["balance"] = balance
    if settings.svc is not None:
        identity["svc"] = settings.svc
    return identity | _named_plugins(settings)


def find_plugins(settings: RowSettings) -> dict[str, str]:
    """Return the plugins that a row's method comes from, each with its SHA-256."""
    match settings:
        case MergerSettings():
            return MERGERS.plugins([settings.merger.name])
        case PairSettings():
            return TERMS.plugins(settings.method.weights.extra)
        case TrainedSettings():
            return train_plugins(settings.config)
        case FileSettings():
            return MERGERS.plugins([load_network(settings.file).kind])
    return {}


def _named_plugins(settings: RowSettings) -> dict[str, Any]:
    """Return the part of an identity that names plugins: images of a changed plugin are computed again."""
    plugins = find_plugins(settings)
    return {"plugins": plugins} if plugins else {}


def trained_file(inputs: QualityInputs, settings: TrainedSettings, seed: int) -> Path:
    """Return the file of a trained merger, whether it is there yet or not."""
    identity = stated(replace(settings.config, seed=seed)) | _named_plugins(settings)
    return inputs.config.trainings / f"{settings.source.stem}_{_short_digest(identity)}.safetensors"


def _train(inputs: QualityInputs, settings: TrainedSettings, seed: int) -> Path:
    """Train a merger, unless it was trained before, and return its file."""
    file = trained_file(inputs, settings, seed)
    if not file.exists():
        with inputs.backbone.set_aside():
            run_train(replace(settings.config, seed=seed, runs=file.with_suffix(""))).rename(file)
    return file


def _learned(inputs: QualityInputs, file: Path, *, other_pair: bool = False) -> RowMethod:
    module = load_network(file).module.to(inputs.backbone.device)

    summed: set[str] = set()  # pairs for which the network predicts nothing

    def merge_pair(pair: Pair) -> LoRA:
        loras, source = inputs.pair_loras(pair), inputs.next_pair(pair) if other_pair else pair
        try:
            return merge_exactly(loras, module(inputs.pair_loras(source)))
        except NothingPredictedError:
            summed.add(pair.name)
            return merge_sum(inputs, loras)

    def merge(pairs: Sequence[Pair]) -> list[MeasuredMerge]:
        merges = merge_one_by_one(inputs, merge_pair, pairs)
        return [
            replace(merged, facts={"summed": float(pair.name in summed)})
            for pair, merged in zip(pairs, merges, strict=True)
        ]

    identity = {"kind": "trained", "merger": sha256(file)} | ({"other_pair": True} if other_pair else {})
    return RowMethod(identity | _named_plugins(FileSettings(file)), merge, partial(draw_merged, inputs))


def _pair(inputs: QualityInputs, settings: PairSettings) -> RowMethod:
    init = settings.init
    identity: dict[str, Any] = {"kind": "pair", "method": _as_json(stated(settings.method))}
    identity |= {"init": sha256(init) if isinstance(init, Path) else init} if init else {}
    identity |= {"balance": settings.balance} if settings.balance else {}
    identity |= {"describe": name_describer(settings.describe)} if settings.describe else {}
    identity |= _named_plugins(settings)
    return _batch_merging(inputs, identity, optimised_merge(inputs, settings))


def _truth(inputs: QualityInputs, settings: TruthSettings) -> RowMethod:
    assert inputs.classifier is not None  # `check_rows` refuses the row without one
    world = inputs.classifier.world

    def merge(pairs: Sequence[Pair]) -> list[tuple[LoRA, dict[str, float]]]:
        loras = [inputs.pair_loras(pair) for pair in pairs]
        return [(lora, {}) for lora in fit_coefficients(world, inputs.backbone, pairs, loras, settings.fit)]

    return _batch_merging(inputs, {"kind": "truth", "fit": asdict(settings.fit)}, merge)


def _joint(inputs: QualityInputs, settings: JointSettings) -> RowMethod:
    recipe = asdict(settings.recipe)
    folder = inputs.config.runs / "joint" / _short_digest(recipe)
    runs = folder.with_name(f"{folder.name}_runs")

    def merge(pairs: Sequence[Pair]) -> list[tuple[LoRA, dict[str, float]]]:
        concepts = [joint_concept(pair) for pair in pairs]
        train_zoo(
            inputs.backbone,
            concepts,
            settings.recipe,
            folder=folder,
            runs=runs,
            group=len(pairs),
            checkpoint_every=50,
        )
        loras = load_loras(folder, [concept.name for concept in concepts])
        return [(loras[concept.name].to(inputs.backbone.device), {}) for concept in concepts]

    return _batch_merging(inputs, {"kind": "joint", "recipe": _as_json(recipe)}, merge)


def _merging(inputs: QualityInputs, identity: Mapping[str, Any], merge_pair: Callable[[Pair], LoRA]) -> RowMethod:
    return RowMethod(identity, partial(merge_one_by_one, inputs, merge_pair), partial(draw_merged, inputs))


def _batch_merging(inputs: QualityInputs, identity: Mapping[str, Any], merge: BatchMerge) -> RowMethod:
    return RowMethod(identity, partial(merge_in_batch, inputs, merge), partial(draw_merged, inputs))


def _as_json(values: Any) -> Any:
    """Return plain data as JSON keeps it: tuples become lists."""
    return json.loads(json.dumps(values, default=str))


def _short_digest(values: Any) -> str:
    return digest(values)[:12]
