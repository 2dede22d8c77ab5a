"""Small LoRA files in memory, one of each dialect and algorithm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

TYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "I64": torch.int64,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in TYPES.items()}


@dataclass(frozen=True)
class File:
    """safetensors file before it is written."""

    tensors: list[tuple[str, Tensor]]
    metadata: dict[str, str] = field(default_factory=dict)

    def encode(self, spoil: Callable[[list[tuple[str, Any]]], None] = lambda items: None) -> bytes:
        """Return the bytes of the file. `spoil` can change the items of the header before they become JSON."""
        items: list[tuple[str, Any]] = [("__metadata__", self.metadata)] if self.metadata else []
        data = b""
        for key, tensor in self.tensors:
            raw = bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist()) if tensor.numel() else b""
            place = [len(data), len(data) + len(raw)]
            items.append((key, {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}))
            data += raw
        spoil(items)
        # Written by hand, because a key may occur twice.
        text = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in items) + "}"
        return len(text.encode()).to_bytes(8, "little") + text.encode() + data


_BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
_FLAT = _BLOCK.replace(".", "_")
_KOHYA = {".lora_down.weight": (2, 6), ".lora_up.weight": (4, 2), ".alpha": ()}
_PEFT = {".lora_A.weight": (2, 6), ".lora_B.weight": (4, 2)}
_SIDES = {"_w1_a": (6, 2), "_w1_b": (2, 8), "_w2_a": (6, 2), "_w2_b": (2, 8)}
_CONFIG = json.dumps({"unet.r": 2, "unet.lora_alpha": 4.0, "unet.alpha_pattern": {"^x": 1}})
_LAYOUTS: tuple[tuple[tuple[str, ...], dict[str, tuple[int, ...]], dict[str, str]], ...] = (
    # (stems, end of the key -> shape, metadata)
    ((f"lora_unet_{_FLAT}_attn1_to_q", "lora_te_text_model_encoder_layers_0_mlp_fc1"), _KOHYA, {"ss_network_dim": "2"}),
    ((f"unet.{_BLOCK}.attn1.to_v", f"unet.{_BLOCK}.attn2.to_v"), _PEFT, {}),
    ((f"unet.{_BLOCK}.attn1.to_v", f"unet.{_BLOCK}.attn2.to_v"), _PEFT, {"lora_adapter_metadata": _CONFIG}),
    ((f"base_model.model.{_BLOCK}.attn1.to_q",), _PEFT, {}),
    ((f"{_BLOCK}.attn1.processor.to_out_lora",), {".down.weight": (2, 6), ".up.weight": (4, 2)}, {}),
    ((f"lora_unet_{_FLAT}_attn1_to_q.hada",), _SIDES, {}),
    ((f"lycoris_{_FLAT}_attn1_to_q.lokr",), _SIDES, {}),
    (
        (f"lycoris_{_FLAT}_ff_net_2",),
        {".lokr_w1": (2, 3), ".lokr_w2": (4, 5)},
        {"ss_network_args": '{"rs_lora": "True"}'},
    ),
    (
        ("lora_unet_down_blocks_0_resnets_0_conv1",),
        {".lora_down.weight": (2, 3, 3, 3), ".lora_up.weight": (4, 2, 1, 1), ".alpha": ()},
        {},
    ),
    (
        ("lora_unet_down_blocks_0_resnets_0_conv2",),
        {".lora_down.weight": (2, 5, 1, 1), ".lora_mid.weight": (2, 2, 3, 3), ".lora_up.weight": (4, 2, 1, 1)},
        {},
    ),
    ((f"lora_unet_{_FLAT}",), {"_norm1.w_norm": (4,), "_norm1.b_norm": (4,), "_ff_net_2.diff": (3, 4)}, {}),
    (("diffusion_model.single_blocks.0.linear1",), {".lora_A.weight": (2, 6), ".lora_B.weight": (42, 2)}, {}),
    (("lora_unet_double_blocks_0_img_attn_qkv",), _KOHYA | {".lora_up.weight": (18, 2)}, {}),
    (
        tuple(f"text_encoder:{number}" for number in range(48)),
        {":down": (1, 3), ":up": (2, 1)},
        {"text_encoder": '["CLIPAttention"]'},
    ),
    ((f"unet.{_BLOCK}.attn1.to_q",), _PEFT | {".lora_magnitude_vector": (4,)}, {}),  # rejected without the base
)


def originals() -> list[File]:
    """Return one small file of each dialect and algorithm."""
    generator = torch.Generator().manual_seed(0)
    return [
        File(
            [
                (stem + end, torch.randn(shape, generator=generator).half())
                for stem in stems
                for end, shape in ends.items()
            ]
            + ([("<s1>", torch.ones(8))] if stems[0].startswith("text_encoder:") else []),
            metadata,
        )
        for stems, ends, metadata in _LAYOUTS
    ]
