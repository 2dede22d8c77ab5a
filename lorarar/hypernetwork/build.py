"""Construction: new learned mergers, sized for a base model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from lorarar.hypernetwork.kinds import NETWORK_KINDS
from lorarar.lora import LoRA
from lorarar.storage import unknown_name


def new_merger(kind: str, lora: LoRA, options: Mapping[str, Any]) -> nn.Module:
    """Return an untrained merger for LoRAs like the given one.

    Args:
        kind: A name in `lorarar.hypernetwork.NETWORK_KINDS`, such as "layerwise".
        lora: Any LoRA of the base model; only the names and shapes of its layers matter.
        options: Settings of the kind, by the names of its configuration.

    Raises:
        ValueError: The kind or an option is unknown.
    """
    check_options(kind, options)
    parts = NETWORK_KINDS.find(kind).load()
    config = parts.config(**{key: tuple(value) if isinstance(value, list) else value for key, value in options.items()})
    return parts.module(parts.sized(config, lora) if parts.sized else config)


def check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Check the names of a kind's settings.

    Raises:
        ValueError: The kind or an option is unknown.
    """
    parts = NETWORK_KINDS.find(kind).load()
    names = [field.name for field in fields(parts.config) if field.name not in parts.derived]
    for key in options:
        if key not in names:
            raise ValueError(unknown_name("an option of the merger", key, names))
