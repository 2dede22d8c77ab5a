"""Single measurement: one merge of two loaded LoRAs in a process of its own, whose peak memory is the merge's.

    python -m lorarar.benchmark.speed.once CONTENT STYLE --method network --network FILE

It prints JSON. "direct" and "network" are ours. "dense direct" and "dense network" follow the description of the
released code of arXiv 2412.05148: every delta of both LoRAs and of the merge is formed in float32 and kept, and the
network reads the columns of the dense deltas.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from lorarar.benchmark.speed.machine import held_bytes, peak_bytes, timed
from lorarar.formats import load
from lorarar.hypernetwork import PaperHypernetwork, load_network
from lorarar.lora import Coefficients, LoRA, merge_exactly, one_thread
from lorarar.mergers import MERGERS

METHODS = ("direct", "network", "dense direct", "dense network")
_WARM_LAYERS = 8


def dense_merge(loras: Sequence[LoRA], network: PaperHypernetwork | None = None) -> dict[str, tuple[Tensor, ...]]:
    """Return dW_c, dW_s and dW_m = dW_c diag(m_c) + dW_s diag(m_s) of every layer, dense in float32.

    Args:
        loras: [content, style], of the same low-rank layers.
        network: Predicts m_c and m_s from the columns of the dense deltas; without it both are 1.
    """
    content, style = loras
    predicted = set(network.predicted(loras)) if network else set()
    merged: dict[str, tuple[Tensor, ...]] = {}
    for layer in content.layers:
        c, s = content.layers[layer].delta(), style.layers[layer].delta()
        if network and layer in predicted:
            columns = torch.cat([c, s]).T
            first = network.input.get_submodule(str(c.shape[0]))
            m = network.output(first(columns).relu_())
            merged[layer] = (c, s, c * m[:, 0] + s * m[:, 1])
        else:
            merged[layer] = (c, s, c + s)
    return merged


def measure_merge(
    loras: Sequence[LoRA], method: str, network: PaperHypernetwork | None, device: str
) -> dict[str, float]:
    """Measure one merge: its time, that of its coefficients, and its memory beyond what was loaded.

    Returns:
        "seconds" from loaded to merged tensors; "coefficient_seconds" of these for the coefficients (0 in the dense
        methods, which do both in one loop); "extra_bytes" beyond what the process held before.
    """
    placed = [lora.to(device) for lora in loras]
    few = [replace(lora, layers=dict(list(lora.layers.items())[:_WARM_LAYERS])) for lora in placed]
    with torch.no_grad():
        _run(few, method, network, device)  # the first product starts threads and loads kernels
        before = held_bytes(device)
        seconds, coefficient_seconds, merge = _run(placed, method, network, device)
        extra = peak_bytes(device) - before
    del merge
    return {"seconds": seconds, "coefficient_seconds": coefficient_seconds, "extra_bytes": max(extra, 0)}


def print_measurement(argv: Sequence[str] | None = None) -> None:
    """Measure one merge by command-line arguments, and print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs=2)
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--every", type=int, default=1, help="merge only every n-th layer")
    arguments = parser.parse_args(argv)
    loras = [_thinned(load(file), arguments.every) for file in arguments.files]
    network: PaperHypernetwork | None = None
    if arguments.method.endswith("network"):
        network = cast(PaperHypernetwork, load_network(arguments.network).module.to(arguments.device))
    json.dump(measure_merge(loras, arguments.method, network, arguments.device), sys.stdout)


def _run(
    loras: Sequence[LoRA], method: str, network: PaperHypernetwork | None, device: str
) -> tuple[float, float, object]:
    """Return the seconds of the merge, the seconds of its coefficients, and the merge."""
    if method.startswith("dense"):
        seconds, dense = timed(lambda: dense_merge(loras, network), device)
        return seconds, 0.0, dense
    predict: Callable[[Sequence[LoRA]], Coefficients] = network or MERGERS["direct"].call
    with one_thread():  # as `lorarar.mergers.combination.combine` does it
        first, coefficients = timed(lambda: predict(loras), device)
        second, merged = timed(lambda: merge_exactly(loras, coefficients), device)
    return first + second, first, merged


def _thinned(lora: LoRA, every: int) -> LoRA:
    return replace(lora, layers=dict(list(lora.layers.items())[::every]))


if __name__ == "__main__":
    print_measurement()
