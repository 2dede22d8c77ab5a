"""From a row of the configuration to a method: one builder for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorarar.benchmark.ceiling import Fit, fit_coefficients
from lorarar.benchmark.quality.config import Kind, MethodConfig
from lorarar.benchmark.quality.methods import Made, Method, draw_merged, one_by_one, together
from lorarar.benchmark.quality.world import World
from lorarar.datasets import Pair
from lorarar.diffusion import generate_composed, synthesise_pairs
from lorarar.hypernetwork import load_merger
from lorarar.lora import LoRA, merge_exactly
from lorarar.mergers import MERGERS, combine
from lorarar.mergers.optimised import TEXT_GUIDED
from lorarar.storage import ConfigError, digest, load_config, sha256, stated
from lorarar.training import Optimised, Recipe, joint_concept, load_loras, optimise, train_zoo
from lorarar.workflows import TrainConfig, run_train
from lorarar.worlds.toy import in_words

Settings = dict[str, Any]


def build(world: World, row: MethodConfig, settings: Mapping[str, Any], training_seed: int = 0) -> Method:
    """The method of a row with the given settings; a "trained" one is trained first, where it was not yet.

    Raises:
        ConfigError: the row names no merger, or a setting is unknown.
    """
    try:
        return _BUILDERS[row.kind](world, row, dict(settings), training_seed)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{row.name}: {error}") from error


def _alone(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """The base, or one LoRA of each pair alone."""

    def make(pairs: Sequence[Pair]) -> list[Made]:
        return [Made(None if row.kind == "base" else world.loras[getattr(pair, row.kind).name]) for pair in pairs]

    return Method({"kind": row.kind}, make, partial(draw_merged, world))


def _merger(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """A row of MERGERS that needs nothing learned."""
    merger, weights = MERGERS[row.source], settings.pop("weights", None)
    options = merger.settings(settings)
    identity = {"kind": row.kind, "merger": row.source, "options": options, "weights": weights}
    if merger.kind == "runtime":

        def draw(pairs: Sequence[Pair], made: Sequence[Made], seeds: Sequence[int]) -> Tensor:
            drawn = partial(generate_composed, world.backbone, options=options)
            return torch.stack([drawn(world.both(p), merger, p.prompt, seeds, world.sampling) for p in pairs])

        return Method(identity, lambda pairs: [Made(None) for _ in pairs], draw)

    def one(pair: Pair) -> LoRA:
        device = world.backbone.device
        return combine(world.both(pair), merger=row.source, weights=weights, options=options, device=device).lora

    return Method(identity, partial(one_by_one, world, one), partial(draw_merged, world))


def _trained(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """A merger that `lorarar train` makes, with a training seed.

    With ``other_pair`` it looks at another pair's LoRAs: if the scores stay, it does not look at the pair.
    """
    other_pair = bool(settings.pop("other_pair", False))
    words = [f"{key}={_word(value)}" for key, value in {**settings, "seed": seed}.items()]
    config = load_config(TrainConfig, Path(row.source), [*words, "wandb=disabled"])
    name = f"{Path(row.source).stem}_{_short(stated(config))}"
    file = world.config.trainings / f"{name}.safetensors"
    if not file.exists():
        run = world.config.trainings / name
        run_train(replace(config, runs=run)).rename(file)
    return _learned(world, row, file, other_pair)


def _file(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """A merger that was trained before, perhaps for another base."""
    return _learned(world, row, Path(row.source), False)


def _learned(world: World, row: MethodConfig, file: Path, other_pair: bool) -> Method:
    merger = load_merger(file).to(world.backbone.device)

    def one(pair: Pair) -> LoRA:
        return merge_exactly(world.both(pair), merger(world.both(world.another(pair) if other_pair else pair)))

    identity = {"kind": "trained", "merger": sha256(file)} | ({"other_pair": True} if other_pair else {})
    return Method(identity, partial(one_by_one, world, one), partial(draw_merged, world))


def _pair(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """Coefficients that are optimised for each pair, a group of pairs in one batch.

    With ``told`` the objective is that of "words", and the pairs' true words are told: a ceiling. With ``init``, a
    trained merger's file, the coefficients start from those that it predicts.
    """
    found, predicted, told = (
        MERGERS[row.source].pair,
        settings.pop("predicted", None),
        settings.pop("true_descriptions", False),
    )
    if found is None:
        raise ConfigError(f"expected a merger that is optimised for each pair, found {row.source!r}")
    init = Path(settings.pop("init")) if "init" in settings else None
    predictor = load_merger(init).to(world.backbone.device) if init else None
    method = found.configured(settings)
    method = replace(method, predicted=tuple(predicted)) if predicted else method
    method = replace(method, weights=TEXT_GUIDED.weights) if told else method

    def make(pairs: Sequence[Pair]) -> list[Made]:
        def merge_all() -> list[tuple[LoRA, dict[str, float]]]:
            asked = [in_words(pair) for pair in pairs] if told else pairs
            drawn = synthesise_pairs(world.backbone, asked) if method.needs == "descriptions" else None
            optimised = optimise(
                world.backbone, asked, world.loras, method, group=len(pairs), init=predictor, synthetic=drawn
            )
            return [
                (merge_exactly(world.both(pair), one.coefficients), _objective(one))
                for pair, one in zip(pairs, optimised, strict=True)
            ]

        return together(world, merge_all)

    identity = {"kind": row.kind, "method": _plain(stated(method))} | ({"init": sha256(init)} if init else {})
    return Method(identity, make, partial(draw_merged, world))


def _truth(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """Coefficients fitted to the true renders of each pair: a ceiling."""
    fit = Fit(**settings)

    def make(pairs: Sequence[Pair]) -> list[Made]:
        def merge_all() -> list[tuple[LoRA, dict[str, float]]]:
            fitted = fit_coefficients(world.backbone, pairs, [world.both(pair) for pair in pairs], fit)
            return [(lora, {}) for lora in fitted]

        return together(world, merge_all)

    return Method({"kind": row.kind, "fit": asdict(fit)}, make, partial(draw_merged, world))


def _joint(world: World, row: MethodConfig, settings: Settings, seed: int) -> Method:
    """One LoRA for each pair, trained on the images of both concepts."""
    values: Settings = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    recipe = Recipe(**values)
    folder = world.config.runs / "joint" / _short(asdict(recipe))

    def make(pairs: Sequence[Pair]) -> list[Made]:
        def merge_all() -> list[tuple[LoRA, dict[str, float]]]:
            concepts = [joint_concept(pair) for pair in pairs]
            runs = folder.with_name(f"{folder.name}_runs")
            train_zoo(world.backbone, concepts, recipe, folder=folder, runs=runs, group=len(pairs), checkpoint_every=50)
            loras = load_loras(folder, [concept.name for concept in concepts])
            return [(loras[concept.name].to(world.backbone.device), {}) for concept in concepts]

        return together(world, merge_all)

    return Method({"kind": row.kind, "recipe": _plain(asdict(recipe))}, make, partial(draw_merged, world))


_BUILDERS: Mapping[Kind, Callable[[World, MethodConfig, Settings, int], Method]] = {
    "base": _alone,
    "content": _alone,
    "style": _alone,
    "truth": _truth,
    "joint": _joint,
    "merger": _merger,
    "pair": _pair,
    "trained": _trained,
    "file": _file,
}


def _objective(found: Optimised) -> dict[str, float]:
    """A pair's own loss on draws that no step saw, and the steps taken."""
    return {"loss_before": found.before["loss"], "loss_after": found.after["loss"], "steps": float(found.steps)}


def _word(value: object) -> str:
    """A value as a configuration's ``key=value`` words have it."""
    return json.dumps(value) if isinstance(value, (list, dict, bool)) or value is None else str(value)


def _plain(values: Any) -> Any:
    """As JSON keeps it."""
    return json.loads(json.dumps(values, default=str))


def _short(values: Any) -> str:
    """A name that differs where the values do."""
    return digest(values)[:12]
