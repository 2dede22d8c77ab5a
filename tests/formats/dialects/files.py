"""Small files in the dotted dialects, shared by the tests of the dialects."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
FLUX = "transformer_blocks.0.attn.to_q"
BARE_TEXT = "text_encoder.encoder.layers.0.self_attn.q_proj"  # as in transformers 5
FULL_TEXT = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
TEXT = "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj"
DOWN, UP = torch.arange(6.0).view(2, 3) / 7, torch.arange(8.0).view(4, 2) / 5


def write(path: Path, *stems: tuple[str, str], header: dict[str, str] | None = None, **more: Tensor) -> Path:
    """Write a file with `DOWN` and `UP` under each (down key, up key)."""
    tensors = {down: DOWN.clone() for down, _ in stems} | {up: UP.clone() for _, up in stems}
    save_file({**tensors, **more}, path, metadata=header)
    return path


def old(attention: str, name: str) -> tuple[str, str]:
    stem = f"{attention}.processor.{name}_lora"
    return f"{stem}.down.weight", f"{stem}.up.weight"


def current(layer: str, middle: str = "lora") -> tuple[str, str]:
    return f"{layer}.{middle}.down.weight", f"{layer}.{middle}.up.weight"


def peft(layer: str) -> tuple[str, str]:
    return f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"
