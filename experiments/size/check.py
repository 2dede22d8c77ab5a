"""One forward and backward pass of Stable Diffusion 1.5's denoiser at its true size on the CPU, beside its count.

    python experiments/size/check.py            (6 GB of memory, minutes on one core)

The weights are random. It prints JSON: what autograd saved, counted from the tensors and as growth of the process, and
what `lorarar benchmark size` computes without weights; seconds of forward and backward, and their ratio.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from lorarar.benchmark.size import SIZED_BASES, count_pass
from lorarar.benchmark.speed.cases import attention_layers
from lorarar.benchmark.speed.machine import describe_machine, held_bytes, peak_bytes
from lorarar.benchmark.speed.random_base import fill_random
from lorarar.benchmark.speed.synthetic import random_lora
from lorarar.diffusion import adapted


def measure(family: str = "sd15") -> dict[str, Any]:
    """Return the measurements and the counts of a pass of one image in float32."""
    base = SIZED_BASES[family]
    count = count_pass(base, dtype=torch.float32)
    model = base.new_denoiser(torch.float32).to_empty(device="cpu")
    fill_random(model)
    lora = random_lora(attention_layers(model), base.rank, 0).to(dtype=torch.float32)
    for factor in (factor for layer in lora.layers.values() for factor in (layer.A, layer.B)):
        factor.requires_grad_()
    arguments = {
        key: torch.zeros(value.shape, dtype=value.dtype) for key, value in base.inputs(base, 1, torch.float32).items()
    }
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = held_bytes("cpu")
    start = time.perf_counter()
    with adapted(model, lora), saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(**arguments).sample
        forward, grown = time.perf_counter() - start, held_bytes("cpu") - before
        output.square().mean().backward()
    return {
        "family": family,
        "machine": describe_machine(),
        "saved_bytes_counted": count.saved,
        "saved_bytes_measured": sum(saved.values()),
        "growth_after_forward": grown,
        "growth_at_peak": peak_bytes("cpu") - before,
        "forward_seconds": forward,
        "backward_seconds": time.perf_counter() - start - forward,
        "operations": count.operations,
        "parameters": count.parameters,
    }


if __name__ == "__main__":
    json.dump(measure(*sys.argv[1:]), sys.stdout, indent=1)
