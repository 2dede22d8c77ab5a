"""Reference: one LoRA of any algorithm by LyCORIS' own modules, from the same initial parts."""

from __future__ import annotations

from typing import Any

import torch
from lycoris.modules.base import LycorisBaseModule
from lycoris.wrapper import network_module_dict
from torch import Tensor, nn

from lorarar.formats.algorithms.roles import suffix_of
from lorarar.training.layers import TrainedLayer
from lorarar.training.settings import Recipe


def library_module(layer: TrainedLayer, recipe: Recipe, parts: dict[str, Tensor], name: str) -> LycorisBaseModule:
    """LyCORIS' module on a layer of the base, with these parts, in place of the layer's forward."""
    rank = recipe.rank_of(layer.is_wide)
    alpha = recipe.scale(name, convolution=layer.is_wide) * (rank**0.5 if recipe.rslora else rank)
    options: dict[str, Any] = {key: getattr(recipe, key) for key in ("factor", "decompose_both", "full_matrix")}
    options |= {"constraint": recipe.constraint, "rescaled": recipe.rescaled, "rs_lora": recipe.rslora}
    options |= {"train_on_input": recipe.on_input, "weight_decompose": recipe.algorithm == "dora"}
    kind = network_module_dict["lora" if recipe.algorithm == "dora" else recipe.algorithm]
    module = kind("x", layer.module, 1.0, rank, alpha, use_tucker=recipe.tucker, **options)
    module.apply_to()
    with torch.no_grad():
        for role, parameter in by_role(module, parts).items():
            moved = recipe.algorithm == "full"  # its parameters start at the base's own
            parameter.add_(parts[role]) if moved else parameter.copy_(parts[role])
    return module


def by_role(module: LycorisBaseModule, parts: dict[str, Tensor]) -> dict[str, nn.Parameter]:
    """The parameters of a module by our roles of the same parts."""
    own = dict(module.named_parameters())
    named = {"diff": "weight", "diff_b": "bias"}
    return {role: own[name] for role in parts if (name := named.get(role) or suffix_of(role)) in own}


def start_of(module: LycorisBaseModule, role: str) -> Tensor | float:
    """What a module's parameter holds beside the part: the base's weight or bias for full deltas."""
    origins: dict[str, Any] = {"diff": module.org_weight, "diff_b": (getattr(module, "org_bias", None) or [0.0])[0]}
    return origins.get(role, 0.0)
