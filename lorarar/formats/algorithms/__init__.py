"""Stand-in until the real one lands: plain LoRA, dense deltas and norms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from lorarar.dense import Dense
from lorarar.lora import Layer
from lorarar.lowrank import LowRank

_SUFFIXES = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".alpha": "alpha",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "w_norm",
    ".b_norm": "b_norm",
    ".dora_scale": "dora_scale",
}


class NeedsBase(ValueError):
    pass


@dataclass(frozen=True)
class Scaling:
    alpha: float | None = None
    rslora: bool = False


def split(key: str) -> tuple[str, str] | None:
    for suffix, role in _SUFFIXES.items():
        if key.endswith(suffix):
            return key.removesuffix(suffix), role
    return None


def algorithm(roles: Collection[str]) -> str:
    if {"down", "up"} <= set(roles):
        return "dora" if "dora_scale" in roles else "lora"
    if set(roles) & {"down", "up"}:
        raise ValueError("lacks its up or down partner")
    return "norm" if set(roles) & {"w_norm", "b_norm"} else "full"


def build(
    parts: Mapping[str, Tensor], scaling: Scaling, weight: Callable[[], Tensor] | None = None
) -> dict[str, Layer]:
    if "dora_scale" in parts:
        raise NeedsBase("DoRA needs the base")
    built: dict[str, Layer] = {}
    for role, name in (("diff", ""), ("w_norm", ""), ("diff_b", "bias"), ("b_norm", "bias")):
        if role in parts:
            t = parts[role]
            built[name] = Dense(t.flatten(1) if t.ndim > 1 else t, tuple(t.shape[2:]))
    if "down" in parts:
        down, up = parts["down"], parts["up"]
        rank = down.shape[0]
        alpha = float(parts["alpha"]) if "alpha" in parts else (scaling.alpha or 0.0)
        scale = alpha / (rank**0.5 if scaling.rslora else rank) if alpha else 1.0
        built[""] = LowRank(up.flatten(1), down.flatten(1), scale, tuple(down.shape[2:]))
    return built
