"""Synthetic LoRAs: random factors of rank r for every attention projection of a base model."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lorarar.lora import LoRA, LowRank
from lorarar.lora.families import FAMILIES, TransformerShape, UNetShape

SIZES = ("sdxl", "sd15", "koala", "flux")
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
_B_DEVIATION = 3e-3


def attention_shapes(family: str) -> dict[str, tuple[int, int]]:
    """Return layer path -> (out, in) of to_q, to_k, to_v and to_out in all attention of a family.

    Args:
        family: One of `SIZES`.

    Raises:
        ValueError: The family is unknown.
    """
    if family not in SIZES:
        raise ValueError(f"expected a family among {', '.join(SIZES)}, found {family!r}")
    shape = FAMILIES[family].shape
    return _unet(shape) if isinstance(shape, UNetShape) else _transformer(shape)


def synthetic_lora(family: str, rank: int, seed: int) -> LoRA:
    """Return a random fp16 LoRA with entries like trained ones: A of deviation 1 / rank, B of 0.003, alpha = rank."""
    return random_lora(attention_shapes(family), rank, seed, family)


def random_lora(shapes: Mapping[str, tuple[int, int]], rank: int, seed: int, family: str = "") -> LoRA:
    """Return a LoRA like that of `synthetic_lora` for any layers: path -> (out, in)."""
    generator = torch.Generator().manual_seed(seed)
    layers = {
        path: LowRank(
            (torch.randn(out, rank, generator=generator) * _B_DEVIATION).half(),
            (torch.randn(rank, width, generator=generator) / rank).half(),
        )
        for path, (out, width) in shapes.items()
    }
    return LoRA(layers, family=family)


def _unet(shape: UNetShape) -> dict[str, tuple[int, int]]:
    shapes = {}
    for attention, depth in shape.attentions():
        side, _, rest = attention.partition(".")
        number = int(rest.partition(".")[0]) if side != "mid_block" else -1
        width = shape.channels[-1 - number if side == "up_blocks" else number]
        for block in range(depth):
            for kind in (1, 2):
                for name in _PROJECTIONS:
                    text = kind == 2 and name in ("to_k", "to_v")
                    path = f"{attention}.transformer_blocks.{block}.attn{kind}.{name}"
                    shapes[path] = (width, shape.cross if text else width)
    return shapes


def _transformer(shape: TransformerShape) -> dict[str, tuple[int, int]]:
    return {
        f"{stack}.{number}.{module}": (shape.width, shape.width)
        for stack, blocks in shape.stacks.items()
        for number in range(blocks.count)
        for module in sorted(blocks.modules)
        if module.partition(".")[2] in _PROJECTIONS
    }
