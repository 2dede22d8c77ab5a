"""Composition of LoRAs while sampling, a new schedule entry at each step.

An entry is one LoRA, several LoRAs whose predictions are averaged, or a `Step` that says more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from lorarar.diffusion.adaptation import adapted, adapted_by_choice
from lorarar.lora import LoRA
from lorarar.mergers.methods import Step

Schedule = Sequence[tuple[LoRA, ...] | Step]


@contextmanager
def scheduled(denoiser: nn.Module, schedule: Schedule, passes: int = 1) -> Iterator[None]:
    """Let each call of the denoiser return the mean prediction of the next step's LoRAs, until the context closes.

    Guidance is linear in the predictions, so the guided prediction is the mean of the LoRAs' guided predictions.

    Args:
        denoiser: A diffusers model, which a pipeline calls once for each timestep.
        schedule: LoRAs of each call, without text-encoder layers: what a merger of the kind "runtime" returns.
        passes: Shares of the batch; of two, the first is the unconditional pass, see `Backbone.passes`.

    Yields:
        Nothing; the model is changed in place and restored on exit, also after an exception.

    Raises:
        ValueError: In the forward: there are more calls than steps, or a LoRA does not fit the model.
    """
    plain, own = denoiser.forward, vars(denoiser).get("forward")
    steps = iter(schedule)

    def forward(*inputs: Any, **named: Any) -> Any:
        entry = next(steps, None)
        if entry is None:
            raise ValueError(
                f"expected at most {len(schedule)} calls of the denoiser, one for each step of the schedule, found "
                "more: make the schedule for as many steps as the sampler takes"
            )
        predictions = []
        for context in _contexts(denoiser, entry if isinstance(entry, Step) else Step(entry), passes):
            with context:
                predictions.append(plain(*inputs, **named))
        return _mean(predictions)

    denoiser.forward = forward
    try:
        yield
    finally:
        del denoiser.forward
        if own is not None:
            denoiser.forward = own


def _contexts(denoiser: nn.Module, step: Step, passes: int) -> Iterator[AbstractContextManager[None]]:
    """Yield the contexts of a step, in each of which the denoiser makes a prediction for the mean."""
    if not step.loras:
        yield nullcontext()
    elif step.joined == "choice":
        yield adapted_by_choice(denoiser, step.loras)
    else:
        for lora in step.loras:
            yield adapted(denoiser, lora if step.unguided or passes == 1 else [None, lora])


def _mean(predictions: Sequence[Any]) -> Any:
    """Return the mean of what a diffusers model returned: tuples, or output objects, of one tensor."""
    if len(predictions) == 1:
        return predictions[0]
    mean = torch.stack([prediction[0] for prediction in predictions]).mean(0)
    return (mean,) if isinstance(predictions[0], tuple) else type(predictions[0])(mean)
