"""Composition of LoRAs while sampling, a new schedule entry at each step.

An entry is one LoRA, or several LoRAs whose predictions are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lorarar.diffusion.adaptation import adapted
from lorarar.lora import LoRA

Schedule = Sequence[tuple[LoRA, ...]]


@contextmanager
def scheduled(denoiser: nn.Module, schedule: Schedule) -> Iterator[None]:
    """Let each call of the denoiser return the mean prediction of the next step's LoRAs, until the context closes.

    Guidance is linear in the predictions, so the guided prediction is the mean of the LoRAs' guided predictions.

    Args:
        denoiser: A diffusers model, which a pipeline calls once for each timestep.
        schedule: LoRAs of each call, without text-encoder layers: what a merger of the kind "runtime" returns.

    Yields:
        Nothing; the model is changed in place and restored on exit, also after an exception.

    Raises:
        ValueError: In the forward: there are more calls than steps, or a LoRA does not fit the model.
    """
    plain, own = denoiser.forward, vars(denoiser).get("forward")
    steps = iter(schedule)

    def forward(*inputs: Any, **named: Any) -> Any:
        loras = next(steps, None)
        if loras is None:
            raise ValueError(
                f"expected at most {len(schedule)} calls of the denoiser, one for each step of the schedule, found "
                "more: make the schedule for as many steps as the sampler takes"
            )
        predictions = []
        for lora in loras:
            with adapted(denoiser, lora):
                predictions.append(plain(*inputs, **named))
        return _mean(predictions)

    denoiser.forward = forward
    try:
        yield
    finally:
        del denoiser.forward
        if own is not None:
            denoiser.forward = own


def _mean(predictions: Sequence[Any]) -> Any:
    """Return the mean of what a diffusers model returned: tuples, or output objects, of one tensor."""
    if len(predictions) == 1:
        return predictions[0]
    mean = torch.stack([prediction[0] for prediction in predictions]).mean(0)
    return (mean,) if isinstance(predictions[0], tuple) else type(predictions[0])(mean)
