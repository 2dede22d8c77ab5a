"""Costs against growth: prediction and merge, a training step, the index of a benchmark's results.

    OMP_NUM_THREADS=1 .venv/bin/python experiments/growth/growth.py

Each cost is processor time on one thread, because other work shares the machine: the median of repetitions in which all
sizes take turns. The exponent of each is the slope of a least-squares line through log(size) and log(seconds), with
Student's 95 % interval for that slope; it says how well a power law describes the sizes, not how other machines differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from lorarar.benchmark.quality.cells import run_cells
from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.quality.methods import MeasuredMerge, RowMethod
from lorarar.benchmark.speed.cases import load_case
from lorarar.benchmark.speed.machine import describe_machine
from lorarar.benchmark.speed.synthetic import attention_shapes, random_lora
from lorarar.datasets import Concept, Pair
from lorarar.evaluation.statistics.intervals import student_quantile
from lorarar.hypernetwork import new_merger
from lorarar.lora import merge_exactly, one_thread
from lorarar.mergers import LossWeights, weighted_total
from lorarar.storage import write_json
from lorarar.training import PairBatch, objective_terms

HERE = Path(__file__).parent
RANKS = (4, 8, 16, 32, 64, 128, 256)
LAYERS = (8, 16, 32, 64, 128, 256, 512)
LORAS = (1, 2, 4, 8, 16, 32)
PAIRS = (1, 2, 4, 8)
CELLS = (64, 128, 256, 512, 1024, 2048)
RANK, LAYER_COUNT = 16, 64  # of what does not grow

# Size -> what is timed.
Works = Mapping[int, Callable[[], object]]


def shapes(layers: int) -> dict[str, tuple[int, int]]:
    """Return that many of SDXL's attention layers, spread over the denoiser."""
    every = list(attention_shapes("sdxl").items())
    return dict(every[number * len(every) // layers] for number in range(layers))


def merging(layers: int, ranks: int, count: int) -> dict[str, Callable[[], object]]:
    """Return the predictions and the merge of some LoRAs; the paper's network takes two LoRAs."""
    sizes = shapes(layers)
    loras = [random_lora(sizes, ranks, seed, "sdxl") for seed in range(count)]
    torch.manual_seed(0)
    works: dict[str, Callable[[], object]] = {}
    ours = new_merger("layerwise", loras[0], {}).eval()
    if count > 1:
        works["prediction, ours"] = lambda: ours(loras)
        coefficients = ours(loras)
    else:
        coefficients = new_merger("layerwise", loras[0], {})(loras * 2)
        coefficients = type(coefficients)({layer: m[:1] for layer, m in coefficients.layers.items()})
    if count == 2:
        paper = new_merger("paper", loras[0], {}).eval()
        works["prediction, paper's"] = lambda: paper(loras)
    works["merge"] = lambda: merge_exactly(loras, coefficients)
    return works


def by_size(made: Mapping[int, Mapping[str, Callable[[], object]]]) -> dict[str, Works]:
    """Return kind -> size -> work, from size -> kind -> work."""
    kinds = dict.fromkeys(kind for works in made.values() for kind in works)
    return {kind: {size: works[kind] for size, works in made.items() if kind in works} for kind in kinds}


def training() -> dict[str, Works]:
    """Return a training step of our network on the embedded base by its number of pairs, one image of each concept."""
    case = load_case(pairs=max(PAIRS), device="cpu")
    pairs, weights = case.batches(0), LossWeights(fidelity=1.0, similarity=0.0, combined=0.0)
    network = new_merger("layerwise", pairs[0].loras[0], {})

    def step(part: Sequence[PairBatch]) -> None:
        network.zero_grad()
        with objective_terms(case.backbone, part, [network(pair.loras) for pair in part], weights) as terms:
            weighted_total(weights, terms).mean().backward()

    return {"training step": {count: lambda count=count: step(pairs[:count]) for count in PAIRS}}


def index(folder: Path) -> dict[str, Works]:
    """Return what a benchmark that resumes does first: it reads its cells and checks the hashes of their images."""
    config = SimpleNamespace(
        group=16, runs=folder, base="base", classifier=None, steps=1, guidance=1.0, images=folder / "images"
    )
    side = int(max(CELLS) ** 0.5) + 1
    concepts = [Concept(f"concept_{number:03d}", "content", "a cat", (), ()) for number in range(2 * side)]
    pairs = [Pair(content, style) for content in concepts[:side] for style in concepts[side:]]
    hashes = {concept.name: concept.name for concept in concepts}
    inputs = cast(QualityInputs, SimpleNamespace(config=config, hashes=hashes, classifier=None))
    method = RowMethod(
        {"name": "grey"},
        lambda some: [MeasuredMerge(None) for _ in some],
        lambda some, merges, seeds: torch.full((len(some), len(seeds), 3, 32, 32), 0.5),
    )
    run_cells(inputs, method, pairs[: max(CELLS)], [0], folder=config.images)
    return {
        "index of results": {
            count: lambda count=count: run_cells(inputs, method, pairs[:count], [0], folder=config.images)
            for count in CELLS
        }
    }


def in_turn(works: Works, repetitions: int) -> dict[int, list[float]]:
    """Return the processor seconds of each work, all taking turns; a first round does not count."""
    seconds: dict[int, list[float]] = {size: [] for size in works}
    for number in range(repetitions + 1):
        for size, work in works.items():
            start = time.process_time()
            work()
            if number:
                seconds[size].append(time.process_time() - start)
    return seconds


def fitted(medians: Mapping[int, float]) -> dict[str, float]:
    """Return the exponent of the sizes, its 95 % interval, the seconds at size 1 by the same line, the last slope."""
    x, y = np.log(list(medians)), np.log(list(medians.values()))
    (slope, intercept), free = np.polyfit(x, y, 1), len(x) - 2
    residuals = y - (slope * x + intercept)
    error = float(np.sqrt((residuals**2).sum() / free / ((x - x.mean()) ** 2).sum()))
    last = float((y[-1] - y[-2]) / (x[-1] - x[-2]))
    half = student_quantile(free) * error
    return {
        "exponent": slope,
        "low": slope - half,
        "high": slope + half,
        "seconds_at_1": float(np.exp(intercept)),
        "last": last,
    }


def measurements(folder: Path) -> Iterator[tuple[str, str, Works]]:
    """Yield what grows, what is timed, and the works of every size."""
    for what, made in (
        ("rank", {rank: merging(LAYER_COUNT, rank, 2) for rank in RANKS}),
        ("layers", {layers: merging(layers, RANK, 2) for layers in LAYERS}),
        ("LoRAs", {count: merging(LAYER_COUNT, RANK, count) for count in LORAS}),
    ):
        for kind, works in by_size(made).items():
            if len(works) > 1:
                yield what, kind, works
    for what, of_kind in (("pairs in a batch", training()), ("cells", index(folder))):
        for kind, works in of_kind.items():
            yield what, kind, works


def main(repetitions: int, output: Path) -> None:
    results: dict[str, Any] = {"repetitions": repetitions, "rank": RANK, "layers": LAYER_COUNT}
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        results["machine"] = describe_machine()
        for what, kind, works in measurements(Path(folder)):
            with torch.set_grad_enabled(what == "pairs in a batch"):
                every = in_turn(works, repetitions)
            medians = {size: median(values) for size, values in every.items()}
            entry = {"seconds": medians, **fitted(medians), "all": every}
            results.setdefault("growth", {}).setdefault(what, {})[kind] = entry
            print(
                f"{kind} against {what}: {entry['exponent']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]", flush=True
            )
            write_json(output, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    chosen = parser.parse_args()
    main(chosen.repetitions, chosen.output)
