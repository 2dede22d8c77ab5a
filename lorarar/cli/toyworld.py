"""Commands that make the parts of the embedded default."""

from __future__ import annotations

import argparse
import json
from typing import TypeVar

from lorarar.cli.configured import Commands, add_configured

R = TypeVar("R")


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers `toyworld` and its stages."""
    toyworld = commands.add_parser("toyworld", help="make the parts of the embedded default")
    stages = toyworld.add_subparsers(required=True, metavar="STAGE")
    add_configured(stages, "concepts", _concepts, "write the concepts' images and manifest")
    add_configured(stages, "reader", _reader, "train the attribute reader")
    add_configured(stages, "autoencoder", _autoencoder, "train the autoencoder")
    add_configured(stages, "base", _base, "train the base model")


def _concepts(arguments: argparse.Namespace) -> None:
    from lorarar.config import ToyworldConfig, load_config
    from lorarar.toyworld.export import export_concepts

    export_concepts(load_config(ToyworldConfig, arguments.config, arguments.overrides).output)


def _reader(arguments: argparse.Namespace) -> None:
    from lorarar.cards import read_card
    from lorarar.config import ToyworldConfig, keep_config, load_config
    from lorarar.toyworld.stages import make_reader

    config = load_config(ToyworldConfig, arguments.config, arguments.overrides)
    recipe = _given("reader", config.reader)
    keep_config(recipe, config.runs / "reader")
    path = make_reader(recipe, output=config.output, runs=config.runs)
    print(json.dumps(read_card(path), indent=1))


def _autoencoder(arguments: argparse.Namespace) -> None:
    from lorarar.config import ToyworldConfig, keep_config, load_config
    from lorarar.toyworld.stages import make_autoencoder

    config = load_config(ToyworldConfig, arguments.config, arguments.overrides)
    recipe = _given("autoencoder", config.autoencoder)
    keep_config(recipe, config.runs / "autoencoder")
    print(make_autoencoder(recipe, runs=config.runs))


def _given(stage: str, recipe: R | None) -> R:
    if recipe is None:
        raise ValueError(f"expected a recipe for the {stage}, found none: add {stage}: to the configuration")
    return recipe


def _base(arguments: argparse.Namespace) -> None:
    from lorarar.config import ToyworldConfig, keep_config, load_config
    from lorarar.toyworld.stages import make_base

    config = load_config(ToyworldConfig, arguments.config, arguments.overrides)
    keep_config(config.base, config.runs / "base")
    print(make_base(config.base, output=config.output, runs=config.runs, devices=config.devices))
