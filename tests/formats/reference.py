"""Reference: deltas of a LoRA file by diffusers, in float64 under our layer paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.lora.lowrank import LowRank


def by_diffusers(path: Path, pipeline: Any) -> dict[str, Tensor]:
    """Return layer path of the denoiser -> effect of its delta on four random inputs, by diffusers' conversion."""
    tensors = {key: tensor.double() for key, tensor in load_file(path).items()}
    converted = pipeline.lora_state_dict(tensors)  # the factors include the alphas
    state = {key: tensor for key, tensor in converted.items() if not key.startswith("text_encoder")}
    downs = {key.removesuffix(".lora_A.weight"): a for key, a in state.items() if key.endswith(".lora_A.weight")}
    assert len(state) == 2 * len(downs)
    return {
        key.removeprefix("transformer."): effect(state[f"{key}.lora_B.weight"], down, 1.0)
        for key, down in downs.items()
    }


def by_us(path: Path) -> dict[str, Tensor]:
    """Return layer path -> effect of its delta on four random inputs, by this package."""
    layers = {name: layer for name, layer in load(path).layers.items() if isinstance(layer, LowRank)}
    return {name: effect(layer.B, layer.A, layer.scale) for name, layer in layers.items()}


def effect(up: Tensor, down: Tensor, scale: float) -> Tensor:
    """Return the effect of a delta on four random inputs, (out, 4). The dense deltas of FLUX would take gigabytes."""
    inputs = torch.randn(down.shape[1], 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return scale * (up.double() @ (down.double() @ inputs))


def check_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-6) -> None:
    """Check that both have the same layers, with tensors equal within a tolerance relative to the largest entry."""
    assert ours.keys() == theirs.keys()
    assert ours
    for name, expected in theirs.items():
        assert expected.abs().max() > 0
        assert (ours[name] - expected).abs().max() <= tolerance * expected.abs().max(), name


def factors(
    stem: str, out: int, width: int, ends: tuple[str, str], *, seed: int = 0, rank: int = 2, alpha: float | None = None
) -> dict[str, Tensor]:
    """Return random factors under a stem with two endings, and an alpha beside them if one is given."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        stem + ends[0]: torch.randn(rank, width, generator=generator),
        stem + ends[1]: torch.randn(out, rank, generator=generator),
    }
    return tensors if alpha is None else tensors | {f"{stem}.alpha": torch.tensor(alpha)}
