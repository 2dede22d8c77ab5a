"""New learned mergers, sized for a base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger, sized
from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora import LoRA, projection
from lorarar.storage import unknown_name


def new_merger(kind: str, lora: LoRA, options: Mapping[str, Any]) -> nn.Module:
    """An untrained merger for LoRAs like the given one.

    Args:
        kind: "paper", "layerwise" or "constant".
        lora: any LoRA of the base model; only its layers' names and shapes matter.
        options: the kind's own settings, by the names of its configuration.

    Raises:
        ValueError: an unknown kind or option.
    """
    if kind not in _BUILDERS:
        raise ValueError(f"expected a merger of kind {sorted(_BUILDERS)}, found {kind!r}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return _BUILDERS[kind](lora, values)


def _paper(lora: LoRA, options: dict[str, Any]) -> nn.Module:
    _check(options, PaperConfig, derived="widths")
    predicted = options.get("predicted", PaperConfig.predicted)
    widths = {factors.shape[0] for layer, factors in lora.layers.items() if projection(layer) in predicted}
    return PaperHypernetwork(PaperConfig(widths=tuple(sorted(widths)), **options))


def _invariant(lora: LoRA, options: dict[str, Any]) -> nn.Module:
    _check(options, LayerwiseConfig)
    return LayerwiseHypernetwork(LayerwiseConfig(**options))


def _constant(lora: LoRA, options: dict[str, Any]) -> nn.Module:
    _check(options, ConstantConfig, derived="groups columns")
    return ConstantMerger(sized(ConstantConfig(groups=(), **options), [lora]))


_BUILDERS: Mapping[str, Callable[[LoRA, dict[str, Any]], nn.Module]] = {
    "paper": _paper,
    "layerwise": _invariant,
    "constant": _constant,
}


def _check(options: Mapping[str, Any], config: type[Any], derived: str = "") -> None:
    known = [field.name for field in fields(config) if field.name not in derived.split()]
    for key in options:
        if key not in known:
            raise ValueError(unknown_name("merger options", key, known))
