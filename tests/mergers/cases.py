"""Inputs and runs that the tests of several mergers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.hypernetwork.checkpoint import load_network, save_merger
from lorarar.hypernetwork.constant import constant_merger
from lorarar.hypernetwork.layerwise import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.lora.coefficients import Coefficients, merge_exactly
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer, LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.mergers.methods.layers import merge_deltas
from lorarar.mergers.methods.step import Step
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.table import MERGERS, Merger
from tests.tiny import factors, two_block_lora

STEPS = 12
# Options at which a method of the kind "delta" adds the deltas, or returns a single one as it is.
NEUTRAL: Mapping[str, Mapping[str, float]] = {
    **{name: {} for name in ("peft_linear", "tsv_m", "iso_c", "iso_cts", "ssr")},
    "svd": {"rank": 99},
    "np_lora": {"mu": 0.0},
}


def of_kind(*kinds: str) -> list[str]:
    return [name for name, merger in MERGERS.items() if merger.kind in kinds]


def neutral(name: str) -> Mapping[str, float]:
    return NEUTRAL.get(name, {"density": 1.0})


def attention_lora(rank: int, scale: float = 1.0, seed: int = 0) -> LoRA:
    """Return a LoRA of linear layers of two widths."""
    return two_block_lora(rank, scale, seed)


def mixed_lora(rank: int, scale: float = 1.0, seed: int = 0) -> LoRA:
    """Return a LoRA of every sort of layer: linear, convolution, dense, dense convolution, norm, bias, text encoder."""
    generator = torch.Generator().manual_seed(seed)
    extra: dict[str, Layer] = {
        "mid_block.resnets.0.conv1": replace(factors(5, 18, rank, scale, seed + 90), kernel=(3, 3)),
        "mid_block.proj.to_q": Dense(torch.randn(6, 8, generator=generator)),
        "mid_block.resnets.0.conv2": Dense(torch.randn(4, 8, generator=generator), kernel=(2, 2)),
        "mid_block.norm": Dense(torch.randn(7, generator=generator)),
        "mid_block.norm.bias": Dense(torch.randn(7, generator=generator)),
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": factors(6, 6, rank, scale, seed + 91),
    }
    return LoRA({**attention_lora(rank, scale, seed).layers, **extra})


def moved(net: nn.Module) -> nn.Module:
    """Return the network with random parameters, as after some training."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def learned_file(name: str, folder: Path) -> Path:
    """Write a learned merger for LoRAs of out widths 6 and 12, and return its file."""
    torch.manual_seed(0)
    networks = {
        "constant": lambda: constant_merger({"6": [0.3, 0.6], "12": [0.9, 0.2]}),
        "paper": lambda: PaperHypernetwork(PaperConfig((6, 12), 8)),
        "layerwise": lambda: moved(LayerwiseHypernetwork(LayerwiseConfig(width=8))),
    }
    path = folder / f"{name}.safetensors"
    save_merger(networks[name](), path, force=True)
    return path


def run(
    name: str, loras: Sequence[LoRA], folder: Path, options: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Return the merged deltas for any kind of merger; for a runtime method those of each step's LoRAs."""
    merger = MERGERS[name]
    settings = merger.settings(options or {})
    if merger.kind == "delta":
        moments = {"moments": moments_of(loras)} if merger.signals else {}
        return deltas(merge_deltas(loras, partial(merger.call, **moments, **settings)))
    if merger.kind == "runtime":
        steps = merger.call(loras, STEPS, **settings)
        assert len(steps) == STEPS
        return {
            f"{i}.{k}.{la}": d
            for i, s in enumerate(steps)
            for k, lo in enumerate(s.loras if isinstance(s, Step) else s)
            for la, d in deltas(lo).items()
        }
    with torch.no_grad():
        return deltas(merge_exactly(loras, merger.call(loras, **needs(merger, loras, folder))))


def moments_of(loras: Sequence[LoRA]) -> dict[str, list[Tensor]]:
    """Stand in for a probe: the moments of random inputs, the same for each layer and LoRA."""
    found = {}
    for layer in sorted({layer for lora in loras for layer in lora.layers}):
        held = {i: lora.layers[layer] for i, lora in enumerate(loras) if layer in lora.layers}
        factors = [delta for delta in held.values() if isinstance(delta, LowRank)]
        if len(factors) == len(held) > 1 and len({f.A.shape[1] for f in factors}) == 1:
            rows = torch.cat([f.A for f in factors])
            inputs = [torch.randn(40, rows.shape[1], generator=torch.Generator().manual_seed(i)) @ rows.T for i in held]
            found[layer] = [z.T @ z / len(z) for z in inputs]
    return found


def needs(merger: Merger, loras: Sequence[LoRA], folder: Path) -> dict[str, Any]:
    if not merger.needs:
        return {}
    if merger.pair:
        return {"optimiser": fractions}
    return {"network": load_network(learned_file(merger.name, folder))}


def fractions(loras: Sequence[LoRA], method: PairMethod) -> Coefficients:
    """Stand in for an optimiser: return a coefficient between 0 and 1 for each LoRA and optimised layer or column."""
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs, content and style, found {len(loras)}")
    start = method.initial([replace(lora, layers=dict(sorted(lora.layers.items()))) for lora in loras])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        start.values.copy_(torch.rand(start.values.shape, generator=generator))
    return start(loras)


def deltas(lora: LoRA) -> dict[str, Tensor]:
    return {layer: delta.delta() for layer, delta in lora.layers.items()}


def regauged(lora: LoRA, seed: int = 5) -> LoRA:
    """Return the same deltas with other factors, (B G, G^-1 A)."""

    def change(delta: Layer) -> Layer:
        if isinstance(delta, Dense):
            return delta
        generator = torch.Generator().manual_seed(seed)
        g = torch.eye(delta.rank, dtype=torch.float64) + 0.3 * torch.rand(
            delta.rank, delta.rank, generator=generator, dtype=torch.float64
        )
        b, a = delta.B.double() @ g, torch.linalg.inv(g) @ delta.A.double()
        return LowRank(b.float(), a.float(), delta.scale, delta.kernel)

    return replace(lora, layers={layer: change(delta) for layer, delta in lora.layers.items()})


def times(lora: LoRA, number: float) -> LoRA:
    """Return every delta times a number; the factors of low-rank deltas stay as they are."""

    def scaled(delta: Layer) -> Layer:
        if isinstance(delta, Dense):
            return replace(delta, tensor=delta.tensor * number)
        return replace(delta, scale=delta.scale * number)

    return replace(lora, layers={layer: scaled(delta) for layer, delta in lora.layers.items()})
