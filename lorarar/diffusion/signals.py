"""Signals: what each LoRA receives inside the base when it draws its own prompt, for mergers that are fitted to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorarar.diffusion.adaptation import adapted
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.sampling import adapted_encoders, denoiser_part, starting_latents
from lorarar.formats import trigger_phrases
from lorarar.lora import LoRA, LowRank, pick_device
from lorarar.mergers import PairInputs

_SEED = 42


@dataclass(frozen=True)
class SignalProbe:
    """Run each LoRA once on a base, and return its signals for the merger "ssr".

    Attributes:
        base: Folder or hub id of the base model.
        inputs: Prompts of two LoRAs; a LoRA without one takes the trigger words of its file.
        device: Where to compute, a name for `lorarar.lora.pick_device`; on a GPU in bf16.
    """

    base: str | Path
    inputs: PairInputs
    device: str = "auto"

    def __call__(self, loras: Sequence[LoRA]) -> dict[str, list[Tensor]]:
        """Return the moments of `rank_signals`.

        Raises:
            FileNotFoundError: There is no base model.
            ValueError: A LoRA has no prompt, or does not fit the base.
        """
        prompts = self.prompts(loras)
        place = pick_device(self.device)
        dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
        return rank_signals(load_backbone(self.base, device=str(place), dtype=dtype), loras, prompts)

    def prompts(self, loras: Sequence[LoRA]) -> list[str]:
        """Return the prompt of each LoRA.

        Raises:
            ValueError: A LoRA has none.
        """
        given = [self.inputs.content_prompt, self.inputs.style_prompt] if len(loras) == 2 else [None] * len(loras)
        prompts = []
        for index, (lora, prompt) in enumerate(zip(loras, given, strict=True)):
            phrase = prompt or next(iter(trigger_phrases(lora)), None)
            if not phrase:
                raise ValueError(
                    f"expected a prompt for each LoRA, found no trigger words in {lora.name or f'LoRA {index + 1}'}: "
                    "of two LoRAs give `content_prompt` and `style_prompt`, the words that they were trained with"
                )
            prompts.append(phrase)
        return prompts

    def facts(self) -> dict[str, Any]:
        """Return the inputs as plain data, for a file's header."""
        return {"base": str(self.base)}

    def finish(self) -> None:
        """Do nothing: there are no checkpoints."""


@torch.no_grad()
def rank_signals(
    backbone: Backbone, loras: Sequence[LoRA], prompts: Sequence[str], seed: int = _SEED
) -> dict[str, list[Tensor]]:
    """Return the moments of the rank-space signals, from one forward pass of each LoRA at the noisiest timestep.

    Args:
        backbone: The base.
        loras: n LoRAs, each of which is alone in the base in its pass.
        prompts: n prompts.
        seed: Seed of the noise.

    Returns:
        Layer -> for each LoRA that holds it the mean of z z^T over the layer's inputs x in its pass, with z =
        [A_1; ..; A_n] x of all LoRAs that hold the layer, (sum rank_i, sum rank_i). Layers that fewer than two LoRAs
        hold, that are dense in one, or that lie outside the denoiser are left out.

    Raises:
        ValueError: A LoRA does not fit the base.
    """
    parts = [denoiser_part(lora).to(backbone.device) for lora in loras]
    downs = {layer: _stacked_rows(layer, parts) for layer in dict.fromkeys(la for part in parts for la in part.layers)}
    moments: dict[str, list[Tensor]] = {}
    noisy = starting_latents(backbone, [seed])
    timesteps = torch.tensor([999], device=backbone.device)
    for lora, part, prompt in zip(loras, parts, prompts, strict=True):
        with ExitStack() as stack:
            stack.enter_context(adapted_encoders(backbone, [lora]))
            stack.enter_context(adapted(backbone.denoiser, part))
            for layer, rows in downs.items():
                if rows is not None and layer in part.layers:
                    module = backbone.denoiser.get_submodule(layer)
                    record = _Record(rows, moments.setdefault(layer, []))
                    stack.callback(module.register_forward_hook(record).remove)
            backbone.predict(noisy, timesteps, backbone.encode_prompts([prompt]))
    return moments


def _stacked_rows(layer: str, loras: Sequence[LoRA]) -> Tensor | None:
    held = [lora.layers[layer] for lora in loras if layer in lora.layers]
    factors = [delta for delta in held if isinstance(delta, LowRank)]
    return torch.cat([f.A.float() for f in factors]) if len(factors) == len(held) > 1 else None


@dataclass(frozen=True, eq=False)
class _Record:
    """Forward hook that appends the mean of z z^T, z = rows x, over all positions of the input."""

    rows: Tensor
    moments: list[Tensor]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].float()
        if isinstance(module, nn.Conv2d):
            kernels = self.rows.reshape(len(self.rows), *module.weight.shape[1:])
            z = F.conv2d(x, kernels, None, module.stride, module.padding, module.dilation).movedim(1, -1)
        else:
            z = F.linear(x, self.rows)
        z = z.reshape(-1, len(self.rows))
        self.moments.append((z.T @ z / len(z)).cpu())
