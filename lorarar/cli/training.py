"""Training commands: synthesise, dreambooth, zoo, train."""

from __future__ import annotations

import typer

import lorarar.workflows as workflows
from lorarar.cli.configurations import add_configured
from lorarar.cli.options import TRAIN


def add(app: typer.Typer) -> None:
    """Add the commands."""
    zoo = lambda: workflows.ZooConfig  # noqa: E731  # read when a command runs: schemas load slowly
    add_configured(
        app, "synthesise", zoo, _synthesise, "Sample images of a zoo's concepts that have only descriptions.", TRAIN
    )
    add_configured(
        app, "dreambooth", zoo, _dreambooth, "Train one LoRA of any LyCORIS algorithm; needs concept=NAME.", TRAIN
    )
    add_configured(app, "zoo", zoo, _zoo, "Train a LoRA for each concept of a manifest, many in one batch.", TRAIN)
    add_configured(
        app,
        "train",
        lambda: workflows.TrainConfig,
        _train,
        "Train a merger on the pairs of a manifest.\n\nExample: lorarar train train/embedded recipe.steps=100",
        TRAIN,
    )


def _synthesise(config: workflows.ZooConfig) -> None:
    print(f"images of {len(workflows.run_synthesis(config))} concepts in {config.images}")


def _dreambooth(config: workflows.ZooConfig) -> None:
    print(workflows.run_dreambooth(config))


def _zoo(config: workflows.ZooConfig) -> None:
    paths = workflows.run_zoo(config)
    print(f"{len(paths)} LoRAs in {paths[0].parent}")


def _train(config: workflows.TrainConfig) -> None:
    print(workflows.run_train(config))
