"""Training commands: synthesise, dreambooth, zoo, train."""

from __future__ import annotations

import argparse

from lorarar.cli.configurations import Commands, add_configured


def add(commands: Commands) -> None:
    """Add the commands."""
    add_configured(commands, "synthesise", _synthesise, "sample images of a zoo's concepts that have only descriptions")
    add_configured(commands, "dreambooth", _dreambooth, "train one LoRA with peft; needs concept=NAME")
    add_configured(commands, "zoo", _zoo, "train a LoRA for each concept of a manifest, many in one batch")
    add_configured(commands, "train", _train, "train a merger on the pairs of a manifest")


def _synthesise(arguments: argparse.Namespace) -> None:
    from lorarar.storage import load_config
    from lorarar.workflows import ZooConfig, run_synthesis

    config = load_config(ZooConfig, arguments.config, arguments.overrides)
    print(f"images of {len(run_synthesis(config))} concepts in {config.images}")


def _dreambooth(arguments: argparse.Namespace) -> None:
    from lorarar.storage import load_config
    from lorarar.workflows import ZooConfig, run_dreambooth

    print(run_dreambooth(load_config(ZooConfig, arguments.config, arguments.overrides)))


def _zoo(arguments: argparse.Namespace) -> None:
    from lorarar.storage import load_config
    from lorarar.workflows import ZooConfig, run_zoo

    paths = run_zoo(load_config(ZooConfig, arguments.config, arguments.overrides))
    print(f"{len(paths)} LoRAs in {paths[0].parent}")


def _train(arguments: argparse.Namespace) -> None:
    from lorarar.storage import load_config
    from lorarar.workflows import TrainConfig, run_train

    print(run_train(load_config(TrainConfig, arguments.config, arguments.overrides)))
