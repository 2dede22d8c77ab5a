"""Architecture of a pipeline's class, as names and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lorarar.diffusion.conditioning import Conditioning


@dataclass(frozen=True)
class Architecture:
    """What a backbone needs to know about one of diffusers' pipeline classes.

    Attributes:
        denoiser: The pipeline's name for its denoiser.
        encoders: The pipeline's names for its text encoders; a pipeline may lack some of them.
        resolution: Maps a pipeline to the width and height of the images that it was made for, pixels.
        channels: Maps a pipeline to the channels of its latents.
        encode: Maps a pipeline, n prompts and a device to their conditioning.
        predict: Maps a denoiser, noisy latents (n, channels, h, w), timesteps as the model takes them (n,),
            conditioning and the resolution to the prediction, shaped like the latents.
        call_arguments: Maps latents, the conditioning and the unconditional conditioning (None without guidance) to the
            arguments of the pipeline's call.
        two_passes: Whether guidance takes a second, unconditional pass; otherwise it is an input of the model.
    """

    denoiser: str
    encoders: tuple[str, ...]
    resolution: Callable[[Any], int]
    channels: Callable[[Any], int]
    encode: Callable[[Any, Sequence[str], torch.device], Conditioning]
    predict: Callable[[nn.Module, Tensor, Tensor, Conditioning, int], Tensor]
    call_arguments: Callable[[Tensor, Conditioning, Conditioning | None], dict[str, Any]]
    two_passes: bool = True
