"""Mergers that act while sampling: another LoRA in each step, or several whose predictions are averaged."""

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
    """Each call of the denoiser answers with the next step's LoRAs, the mean of their predictions.

    Guidance is linear in the predictions, so that the mean of the conditional and of the unconditional ones is the mean
    of the guided ones.

    Args:
        denoiser: A diffusers model, which a pipeline calls once for each time step.
        schedule: For each call the LoRAs, without text-encoder layers: what a merger of the kind "runtime" returns.

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
                f"the denoiser was called more often than the schedule's {len(schedule)} steps: make the schedule for "
                f"as many steps as the sampler takes"
            )
        answers = []
        for lora in loras:
            with adapted(denoiser, lora):
                answers.append(plain(*inputs, **named))
        return _mean(answers)

    denoiser.forward = forward
    try:
        yield
    finally:
        del denoiser.forward
        if own is not None:
            denoiser.forward = own


def _mean(answers: Sequence[Any]) -> Any:
    """The mean of what a diffusers model returned: tuples, or output objects, of one tensor."""
    if len(answers) == 1:
        return answers[0]
    mean = torch.stack([answer[0] for answer in answers]).mean(0)
    return (mean,) if isinstance(answers[0], tuple) else type(answers[0])(mean)
