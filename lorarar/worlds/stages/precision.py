"""Precision of the stages: bf16 where the processor computes in it."""

from __future__ import annotations

from typing import TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from lorarar.storage import Dtype

Model = TypeVar("Model", AutoencoderKL, UNet2DConditionModel)


def fast_dtype() -> Dtype:
    """Return "bf16" where a CPU has AMX for it, else "fp32".

    Without AMX, torch emulates bf16: a training step then takes three times as long as in fp32.
    """
    has_amx = torch.cpu.get_capabilities().get("amx_bf16", False)
    return "bf16" if has_amx and not torch.cuda.is_available() else "fp32"


def plain_attention(model: Model) -> Model:
    """Compute the model's attention from products of matrices, and return the model.

    The backward pass of torch's fused attention is very slow in bf16 on a CPU.
    """
    model.set_attn_processor(AttnProcessor())
    return model
