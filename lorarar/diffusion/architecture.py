"""What a backbone must know of a pipeline's class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.diffusion.conditioning import Conditioning


@dataclass(frozen=True)
class Architecture:
    """One of diffusers' pipeline classes, as names and functions.

    Attributes:
        denoiser: the pipeline's name for it.
        encoders: its names for its text encoders; some may be absent from a pipeline.
        resolution: width and height of the images that the pipeline was made for, pixels.
        channels: of its latents.
        encode: a pipeline, n prompts and a device to their conditioning.
        predict: a denoiser, noisy latents (n, channels, h, w), what it is told of the time (n,), conditioning and
            the resolution to the prediction, shaped like the latents.
        called_with: latents, conditioning and the unconditional one (None without guidance) as the arguments of the
            pipeline's call.
        two_passes: whether guidance takes a second, unconditional pass; else it is an input of the model.
    """

    denoiser: str
    encoders: tuple[str, ...]
    resolution: Callable[[Any], int]
    channels: Callable[[Any], int]
    encode: Callable[[Any, Sequence[str], torch.device], Conditioning]
    predict: Callable[[nn.Module, Tensor, Tensor, Conditioning, int], Tensor]
    called_with: Callable[[Tensor, Conditioning, Conditioning | None], dict[str, Any]]
    two_passes: bool = True
