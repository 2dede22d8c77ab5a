"""World commands: the stages that create the embedded default."""

from __future__ import annotations

import argparse
import json
from typing import TypeVar

from lorarar.cli.configurations import Commands, add_configured

RecipeT = TypeVar("RecipeT")


def add(commands: Commands) -> None:
    """Add `world` and its stages."""
    world = commands.add_parser("world", help="create the parts of the embedded default")
    stages = world.add_subparsers(required=True, metavar="STAGE")
    add_configured(stages, "concepts", _concepts, "write the concepts' images and manifest")
    add_configured(stages, "classifier", _classifier, "train the attribute classifier")
    add_configured(stages, "autoencoder", _autoencoder, "train the autoencoder")
    add_configured(stages, "base", _base, "train the base model")


def _concepts(arguments: argparse.Namespace) -> None:
    from lorarar.storage import load_config
    from lorarar.worlds.toy import WorldConfig, export_concepts

    export_concepts(load_config(WorldConfig, arguments.config, arguments.overrides).output)


def _classifier(arguments: argparse.Namespace) -> None:
    from lorarar.storage import claim_run, load_config, read_card
    from lorarar.worlds.toy import WorldConfig, make_classifier

    config = load_config(WorldConfig, arguments.config, arguments.overrides)
    recipe = _required("classifier", config.classifier)
    claim_run(config.runs / "classifier", recipe)
    path = make_classifier(recipe, output=config.output, runs=config.runs)
    print(json.dumps(read_card(path), indent=1))


def _autoencoder(arguments: argparse.Namespace) -> None:
    from lorarar.storage import claim_run, load_config
    from lorarar.worlds.toy import WorldConfig, make_autoencoder

    config = load_config(WorldConfig, arguments.config, arguments.overrides)
    recipe = _required("autoencoder", config.autoencoder)
    claim_run(config.runs / "autoencoder", recipe)
    print(make_autoencoder(recipe, runs=config.runs))


def _required(stage: str, recipe: RecipeT | None) -> RecipeT:
    if recipe is None:
        raise ValueError(f"expected a recipe for the {stage}, found none: add {stage}: to the configuration")
    return recipe


def _base(arguments: argparse.Namespace) -> None:
    from lorarar.storage import claim_run, load_config
    from lorarar.worlds.toy import WorldConfig, make_base

    config = load_config(WorldConfig, arguments.config, arguments.overrides)
    claim_run(config.runs / "base", config.base)
    print(make_base(config.base, output=config.output, runs=config.runs, devices=config.devices))
