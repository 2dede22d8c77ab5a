"""From named tensors to deltas: partner up down and up factors, check them, give each its scale."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lorarar.formats.files import FormatError
from lorarar.formats.scaling import Config, config_for, scale_from_alpha, scale_from_config
from lorarar.lora import TEXT_ENCODERS
from lorarar.lowrank import LowRank

Role = Literal["A", "B", "alpha"]
Parse = Callable[[str], tuple[str, Role] | None]
ROLES: Mapping[str, Role] = {"A": "A", "B": "B", "down": "A", "up": "B", "alpha": "alpha"}
DENOISERS = ("unet", "transformer")
_PREFIX = re.compile(r"^(?:base_model\.model\.|unet\.|transformer\.)+")


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its key there, and what the key means."""

    key: str
    layer: str
    role: Role


def strip_prefix(path: str) -> str:
    """A layer's path in the denoiser: without "unet.", "transformer.", "base_model.model.", also when repeated."""
    return _PREFIX.sub("", path)


def denoiser_prefix(layers: Sequence[str]) -> str:
    """ "unet" or "transformer": what diffusers calls the denoiser that has these layers."""
    stems = {layer.partition(".")[0] for layer in layers} - set(TEXT_ENCODERS)
    unet = {"down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding", "add_embedding"}
    return "unet" if not stems or stems & unet else "transformer"


def pair(
    path: object, tensors: Mapping[str, Tensor], entries: Sequence[Entry], configs: Mapping[str, Config]
) -> dict[str, LowRank]:
    """Builds the layers of a file.

    Args:
        path: The file, for messages.
        tensors: Key -> tensor.
        entries: What each key means.
        configs: peft configurations by model; a layer's own alpha tensor comes before them.

    Returns:
        Layer path -> delta, in the order of the entries.

    Raises:
        FormatError: A partner is missing, two keys mean the same weight, a kernel is not 2-D, shapes or ranks disagree,
            or the configuration cannot be used.
    """
    parts: dict[str, dict[Role, Entry]] = {}
    for entry in entries:
        other = parts.setdefault(entry.layer, {}).setdefault(entry.role, entry)
        if other is not entry:
            raise FormatError(
                f"{path} holds layer {entry.layer} twice, as {other.key} and {entry.key}: it mixes two "
                f"layouts, save it again"
            )
    _check_partners(path, parts)
    layers = {}
    for layer, found in parts.items():
        try:
            layers[layer] = _low_rank(layer, {role: tensors[e.key] for role, e in found.items()}, configs)
        except ValueError as error:
            raise FormatError(f"{path}, layer {layer}: {error}") from error
    return layers


def _check_partners(path: object, parts: Mapping[str, Mapping[Role, Entry]]) -> None:
    lonely = [next(iter(found.values())).key for found in parts.values() if not {"A", "B"} <= set(found)]
    if lonely:
        raise FormatError(
            f"{path}: {len(lonely)} of {len(parts)} layers lack their up or down partner, first {lonely[:3]}: "
            f"the file is incomplete, save or download it again"
        )


def _low_rank(layer: str, found: Mapping[Role, Tensor], configs: Mapping[str, Config]) -> LowRank:
    down, up = found["A"], found["B"]
    if down.ndim != 2 or up.ndim != 2:
        raise ValueError(
            f"expected 2-D weights, found down {tuple(down.shape)} and up {tuple(up.shape)}: convolution layers are "
            f"not supported yet, train with linear target modules only"
        )
    return LowRank(B=up, A=down, scale=_scale(layer, down.shape[0], found.get("alpha"), configs))


def _scale(layer: str, rank: int, alpha: Tensor | None, configs: Mapping[str, Config]) -> float:
    if alpha is not None:
        return scale_from_alpha(float(alpha), rank)
    config, path = config_for(configs, layer)
    return 1.0 if config is None else scale_from_config(config, path, rank)
