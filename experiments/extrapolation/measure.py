"""Measure how far LoRAs lie outside what the shipped network was trained on: inputs that it merges well, and others.

    python experiments/extrapolation/measure.py CONTENT.safetensors STYLE.safetensors

The two files are real LoRAs of Stable Diffusion 1.5. The numbers go to results.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from lorarar import load
from lorarar.hypernetwork import Measures, Network, load_network, measure_loras
from lorarar.lora import LoRA, LowRank, truncate_lora
from lorarar.storage import NETWORKS, write_json
from lorarar.training import load_loras

HERE, LORAS = Path(__file__).parent, Path("data/embedded/loras")
STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
WIDTHS = {80: 64, 144: 96}  # of the embedded base and of the base "wide" in experiments/any_width
Pairs = Sequence[tuple[LoRA, LoRA]]


@torch.no_grad()
def main(content: str, style: str) -> None:
    """Measure all cases and write results.json."""
    torch.set_num_threads(1)
    network = load_network(NETWORKS / "hypernetwork.safetensors")
    trained = network.trained_on
    assert trained is not None, "the network's header does not state its training"
    cases = {}
    for name, pairs in inputs(content, style).items():
        rows = [measure(network, pair) for pair in pairs]
        outside = sorted({number for row in rows for number in trained.outside(row)})
        cases[name] = {
            "pairs": len(rows),
            "outside": sum(bool(trained.outside(row)) for row in rows),
            "numbers_outside": outside,
            "far": sum(trained.is_far(row) for row in rows),
            "ranges": {number: limits(rows, number) for number in trained.ranges},
        }
        print(name, json.dumps(cases[name]), flush=True)
    write_json(HERE / "results.json", {"trained_on": trained.ranges, "cases": cases})


def inputs(content: str, style: str) -> dict[str, Pairs]:
    """Return the pairs of every case."""
    names = sorted(path.stem for path in LORAS.glob("test_*.safetensors"))
    loras = load_loras(LORAS, names)
    tested = [(loras[a], loras[b]) for a in names if "content" in a for b in names if "style" in b]
    some = tested[::9]  # every content and style once
    real = load(content), load(style)
    cases: dict[str, Pairs] = {"embedded, test pairs": tested}
    for a, b in product(STRENGTHS, STRENGTHS):
        if (a, b) != (1, 1):
            cases[f"alpha of content x {a:g}, of style x {b:g}"] = [(times(x, a), times(y, b)) for x, y in some]
    for rank in (2, 4):
        cases[f"truncated to rank {rank}"] = [(truncated(x, rank), truncated(y, rank)) for x, y in some]
    cases["cut to the widths of `wide`"] = [(narrowed(x), narrowed(y)) for x, y in some]
    for factor in (0.1, 10.0, 0.01, 100.0):
        cases[f"both alphas x {factor:g}"] = [(times(x, factor), times(y, factor)) for x, y in some]
    cases["Stable Diffusion 1.5"] = [real]
    cases["Stable Diffusion 1.5, swapped"] = [real[::-1]]
    return cases


def measure(network: Network, pair: tuple[LoRA, LoRA]) -> Measures:
    """Return the numbers of a pair."""
    return measure_loras(pair, network.predicted(pair), network.module(list(pair)))


def limits(rows: Sequence[Measures], number: str) -> list[float]:
    """Return the smallest and the largest value of a number."""
    values = [value for row in rows for value in row[number]]
    return [float(f"{min(values):.4g}"), float(f"{max(values):.4g}")]


def times(lora: LoRA, factor: float) -> LoRA:
    """Return a LoRA of another alpha."""
    return replace(
        lora, layers={path: replace(low_rank(d), scale=low_rank(d).scale * factor) for path, d in lora.layers.items()}
    )


def truncated(lora: LoRA, rank: int) -> LoRA:
    """Return a LoRA of lower rank."""
    return truncate_lora(lora, rank=rank)[0]


def narrowed(lora: LoRA) -> LoRA:
    """Return a LoRA whose layers have the widths of the base `wide`: the first rows and columns of each delta."""
    layers = {}
    for path, layer in lora.layers.items():
        delta = low_rank(layer)
        out, width = (WIDTHS.get(size, size) for size in delta.shape)
        layers[path] = replace(delta, B=delta.B[:out], A=delta.A[:, :width])
    return replace(lora, layers=layers, family="")


def low_rank(layer: object) -> LowRank:
    """Return a layer that is low-rank."""
    assert isinstance(layer, LowRank)
    return layer


if __name__ == "__main__":
    main(*sys.argv[1:])
