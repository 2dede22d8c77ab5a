"""World commands: the stages that create the embedded default and other worlds."""

from __future__ import annotations

import json
import os

import typer

from lorarar.cli.commands import new_app
from lorarar.cli.configurations import add_configured
from lorarar.cli.options import REPRODUCE
from lorarar.worlds import art, stages, toy


def add(app: typer.Typer) -> None:
    """Add `world` and its stages."""
    world = new_app(help="Create the parts of a world, such as the embedded default, one stage at a time.")
    commands = (
        ("concepts", _concepts, "Write the concepts' images and manifest."),
        ("classifier", _classifier, "Train the attribute classifier."),
        ("autoencoder", _autoencoder, "Train the autoencoder."),
        ("base", _base, "Train the base model."),
    )
    for name, run, text in commands:
        add_configured(world, name, lambda: stages.WorldConfig, run, text)
    text = "Make the art world's drawings from their artists' packages."
    add_configured(world, "drawings", lambda: art.AtlasConfig, lambda config: print(art.make_atlas(config)), text)
    app.add_typer(world, name="world", rich_help_panel=REPRODUCE)


def _concepts(config: stages.WorldConfig) -> None:
    export = {"toy": toy.export_concepts, "art": art.export_art}
    export[config.world](config.output)


def _classifier(config: stages.WorldConfig) -> None:
    from lorarar.storage import read_card

    print(json.dumps(read_card(stages.run_classifier(config)), indent=1))


def _autoencoder(config: stages.WorldConfig) -> None:
    print(stages.run_autoencoder(config))


def _base(config: stages.WorldConfig) -> None:
    path = stages.run_base(config)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one of the processes speaks
        print(path)
