"""Editing bases: denoisers that also see clean latents of condition images.

A UNet takes them as further input channels; untrained, these have weights of zero, so that it starts as the base it was
widened from. FLUX's transformer takes them as further tokens of its sequence (extended attention), as FLUX.1-Kontext
was trained to: their first position is 1 where that of the image's own tokens is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from lorarar.diffusion.transformer import pack, positions


def widen(unet: UNet2DConditionModel, images: int) -> UNet2DConditionModel:
    """Give a UNet input channels for the latents of condition images, in place, with weights of zero.

    Args:
        unet: A UNet that takes noisy latents alone.
        images: Number of condition images.

    Returns:
        The same UNet.
    """
    old: Any = unet.conv_in
    channels = old.in_channels * (1 + images)
    new: Any = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)
    unet.conv_in = new.to(old.weight)
    unet.register_to_config(in_channels=channels)
    return unet


@contextmanager
def conditioned(denoiser: nn.Module, condition: Tensor) -> Iterator[None]:
    """Give an editing base its condition images until the context closes.

    Args:
        denoiser: A widened UNet, or FLUX's transformer.
        condition: Clean latents (n, images, channels, h, w); zeros where an image is missing. The batch of noisy
            latents has n entries, or a multiple of n in the same order, as with classifier-free guidance.

    Raises:
        ValueError: The denoiser is of another class; in the forward pass, the channels do not fit a UNet, or the batch
            does not divide by n.
    """
    if isinstance(denoiser, UNet2DConditionModel):
        handles = [denoiser.register_forward_pre_hook(_as_channels(condition), with_kwargs=True)]
    elif isinstance(denoiser, FluxTransformer2DModel):
        tokens = torch.cat([pack(image) for image in condition.unbind(1)], dim=1)
        handles = [
            denoiser.register_forward_pre_hook(_as_tokens(condition, tokens), with_kwargs=True),
            denoiser.register_forward_hook(_without(tokens.shape[1])),
        ]
    else:
        raise ValueError(
            f"expected a UNet of `lorarar analogy base` or FLUX's transformer, found {type(denoiser).__name__}: give "
            "an editing base"
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _as_channels(condition: Tensor) -> Any:
    """Return a hook that appends the condition to the channels of the first input."""
    channels = condition.flatten(1, 2)

    def join(module: Any, inputs: tuple[Tensor, ...], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        noisy = inputs[0]
        expected, found = module.config.in_channels, noisy.shape[1] + channels.shape[1]
        if found != expected:
            raise ValueError(
                f"expected a base that takes {found} channels, for {condition.shape[1]} condition images, found one "
                f"that takes {expected}: use an editor base, see `lorarar analogy base`"
            )
        return (torch.cat([noisy, _repeated(channels, noisy)], dim=1), *inputs[1:]), keywords

    return join


def _as_tokens(condition: Tensor, tokens: Tensor) -> Any:
    """Return a hook that appends the condition to the sequence, and its positions."""
    height, width = (side // 2 for side in condition.shape[-2:])
    places = [positions(height, width, first=i + 1) for i in range(condition.shape[1])]

    def join(module: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        own, ids = keywords["hidden_states"], keywords["img_ids"]
        more = {
            "hidden_states": torch.cat([own, _repeated(tokens, own)], dim=1),
            "img_ids": torch.cat([ids, *(place.to(ids) for place in places)]),
        }
        return inputs, keywords | more

    return join


def _without(count: int) -> Any:
    """Return a hook that leaves the last tokens, those of the condition, out of the prediction."""

    def cut(module: Any, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0][:, :-count], *output[1:])
        return type(output)(sample=output.sample[:, :-count])

    return cut


def _repeated(values: Tensor, batch: Tensor) -> Tensor:
    """Return values (n, ..) as often as a batch, a multiple of n, needs them."""
    if len(batch) % len(values):
        raise ValueError(
            f"expected a batch that is a multiple of {len(values)}, the number of conditions, found {len(batch)}: give "
            "a condition for each image"
        )
    return values.to(batch).repeat(len(batch) // len(values), *[1] * (values.ndim - 1))
