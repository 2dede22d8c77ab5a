"""Optimised pairs: the merges of a row whose method optimises the coefficients of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.methods import BatchMerge, merge_sum
from lorarar.benchmark.quality.settings import PairSettings
from lorarar.datasets import Pair
from lorarar.diffusion import synthesise_pairs
from lorarar.hypernetwork import NothingPredictedError, load_network
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import PairInputs, balance_loras, default_coefficients
from lorarar.mergers.optimised import PairMethod
from lorarar.training import OptimisedPair, PairOptimiser, Predictor, optimise
from lorarar.workflows import describe_loras
from lorarar.worlds.toy import describe_pair


def optimised_merge(inputs: QualityInputs, settings: PairSettings) -> BatchMerge:
    """Return the function that optimises pairs in one batch; pairs without a layer to optimise are summed.

    Args:
        inputs: The inputs of the benchmark.
        settings: The settings of the row.

    Raises:
        ArtefactError: The network that the coefficients start from cannot be read.
    """
    method, init = settings.method, settings.init
    predictor: Predictor | None = partial(default_coefficients, balanced=settings.balance > 0) if init else None
    if isinstance(init, Path):
        predictor = load_network(init).module.to(inputs.backbone.device)

    def merge(pairs: Sequence[Pair]) -> list[tuple[LoRA, dict[str, float]]]:
        described = [describe_pair(pair) for pair in pairs] if settings.true_descriptions else pairs
        if settings.describe:
            described = [_described(inputs, pair, settings.describe) for pair in pairs]
        loras: Mapping[str, LoRA] = inputs.loras
        if settings.balance:
            described, loras = _balanced(inputs, described, settings.balance)
        merges: dict[str, tuple[LoRA, dict[str, float]]] = {}
        for pair in described:
            of_pair = [loras[pair.content.name], loras[pair.style.name]]
            if not _has_layers(method, of_pair):
                merges[pair.name] = merge_sum(inputs, of_pair), {"steps": 0.0, "summed": 1.0}
        left = [pair for pair in described if pair.name not in merges]
        if left:
            images = synthesise_pairs(inputs.backbone, left) if method.needs == "descriptions" else None
            results = optimise(inputs.backbone, left, loras, method, group=len(left), init=predictor, synthetic=images)
            for pair, result in zip(left, results, strict=True):
                merged = merge_exactly([loras[pair.content.name], loras[pair.style.name]], result.coefficients)
                merges[pair.name] = merged, _objective(result)
        return [merges[pair.name] for pair in described]

    return merge


def _has_layers(method: PairMethod, loras: Sequence[LoRA]) -> bool:
    try:
        method.initial(loras)
    except NothingPredictedError:
        return False
    return True


def _balanced(inputs: QualityInputs, pairs: Sequence[Pair], balance: float) -> tuple[list[Pair], dict[str, LoRA]]:
    """Return the pairs and their balanced LoRAs, which differ between the pairs of a concept, under their own names."""
    renamed: list[Pair] = []
    loras: dict[str, LoRA] = {}
    for pair in pairs:
        content = replace(pair.content, name=f"{pair.name}, content")
        style = replace(pair.style, name=f"{pair.name}, style")
        balanced, _ = balance_loras(inputs.pair_loras(pair), balance)
        loras |= {content.name: balanced[0], style.name: balanced[1]}
        renamed.append(replace(pair, content=content, style=style))
    return renamed, loras


def _described(inputs: QualityInputs, pair: Pair, describe: str) -> Pair:
    """Return a pair with a model's descriptions of what each LoRA draws, made once for each LoRA."""
    given = PairInputs(
        content_prompt=pair.content.phrase,
        style_prompt=pair.style.phrase,
        describe=describe,
        runs=inputs.config.runs / "pair.run",
    )
    optimiser = PairOptimiser(inputs.config.base, given, str(inputs.backbone.device), inputs.backbone)
    found = describe_loras(optimiser, inputs.pair_loras(pair)).inputs
    content = replace(pair.content, description=found.content_description)
    return Pair(content, replace(pair.style, description=found.style_description))


def _objective(result: OptimisedPair) -> dict[str, float]:
    """Return a pair's own loss on noise that no step used, the number of steps, and that it was not summed."""
    before, after = result.before["loss"], result.after["loss"]
    return {"loss_before": before, "loss_after": after, "steps": float(result.steps), "summed": 0.0}
