"""Construction: new learned mergers, sized for a base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from torch import nn

from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger, sized_config
from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora import LoRA, projection
from lorarar.storage import unknown_name


def new_merger(kind: str, lora: LoRA, options: Mapping[str, Any]) -> nn.Module:
    """Return an untrained merger for LoRAs like the given one.

    Args:
        kind: "paper", "layerwise" or "constant".
        lora: Any LoRA of the base model; only the names and shapes of its layers matter.
        options: Settings of the kind, by the names of its configuration.

    Raises:
        ValueError: The kind or an option is unknown.
    """
    if kind not in _BUILDERS:
        raise ValueError(unknown_name("a kind of learned merger", kind, sorted(_BUILDERS)))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return _BUILDERS[kind](lora, values)


def _paper(lora: LoRA, options: dict[str, Any]) -> nn.Module:
    _check(options, PaperConfig, derived=("widths",))
    predicted = options.get("predicted", PaperConfig.predicted)
    widths = {factors.shape[0] for layer, factors in lora.layers.items() if projection(layer) in predicted}
    return PaperHypernetwork(PaperConfig(widths=tuple(sorted(widths)), **options))


def _layerwise(lora: LoRA, options: dict[str, Any]) -> nn.Module:
    _check(options, LayerwiseConfig)
    return LayerwiseHypernetwork(LayerwiseConfig(**options))


def _constant(lora: LoRA, options: dict[str, Any]) -> nn.Module:
    _check(options, ConstantConfig, derived=("groups", "columns"))
    return ConstantMerger(sized_config(ConstantConfig(groups=(), **options), [lora]))


_BUILDERS: Mapping[str, Callable[[LoRA, dict[str, Any]], nn.Module]] = {
    "paper": _paper,
    "layerwise": _layerwise,
    "constant": _constant,
}


def _check(options: Mapping[str, Any], config: type[Any], derived: Sequence[str] = ()) -> None:
    """Refuse unknown options, and those that are derived from the LoRA."""
    names = [field.name for field in fields(config) if field.name not in derived]
    for key in options:
        if key not in names:
            raise ValueError(unknown_name("an option of the merger", key, names))
