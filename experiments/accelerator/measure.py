"""Full-size work on one GPU: steps, memory, prediction, merge, the speedup over ZipLoRA, LoRAs in a batch.

    .venv/bin/python experiments/accelerator/measure.py --minutes 8
    .venv/bin/python experiments/accelerator/measure.py --dry-run --output FILE      (tiny shapes on the CPU)

Bases have their true shapes and random weights, made on the device in bf16. Each measure has a budget of seconds and is
left out, with the reason in the results, where time or memory are too short for it. Results are written as they come.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from lorarar.benchmark.size import SIZED_BASES, SizedBase, Work, count_pass, count_prediction, works_of
from lorarar.benchmark.speed import SpeedupConfig, run_speedup_benchmark
from lorarar.benchmark.speed.cases import checkpoint_activations, random_case
from lorarar.benchmark.speed.machine import describe_machine, held_bytes, peak_bytes, timed
from lorarar.benchmark.speed.once import measure_merge
from lorarar.benchmark.speed.random_base import RandomBackbone
from lorarar.benchmark.speed.speedup import steps_of
from lorarar.benchmark.speed.synthetic import random_lora
from lorarar.benchmark.speed.training import training_step
from lorarar.benchmark.speed.zoo import compare_throughput, step_seconds
from lorarar.datasets import Concept
from lorarar.diffusion import Sampling, sample_loras
from lorarar.hypernetwork import PaperHypernetwork, new_merger
from lorarar.lora import one_thread
from lorarar.mergers.optimised import ZIPLORA
from lorarar.storage import write_json
from lorarar.training import Recipe, ZooTraining

HERE = Path(__file__).parent
RESERVE = 15.0  # seconds at the end, for what a measure takes beyond its budget
GAP = 2e9  # bytes of CUDA's context and of the allocator's gaps
FAMILIES = ("sdxl", "flux", "sd3", "sd15", "koala")
CLAIM = 4000  # times that a prediction is faster than ZipLoRA, by the paper
BATCH = 8  # LoRAs of the zoo in a batch

_UNET = {"sample_size": 16, "block_out_channels": (32, 32, 32), "cross_attention_dim": 16, "attention_head_dim": 8}
_XL = {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 64}
_LINEAR = {"attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 16, "pooled_projection_dim": 16}
TINY: Mapping[str, dict[str, Any]] = {
    "sd15": _UNET | {"block_out_channels": (32,) * 4},
    "sdxl": _UNET | _XL | {"transformer_layers_per_block": (1, 1, 1)},
    "koala": _UNET | _XL | {"transformer_layers_per_block": (0, 1, 1)},
    "sd3": _LINEAR | {"num_layers": 2, "caption_projection_dim": 16, "sample_size": 16, "pos_embed_max_size": 8},
    "flux": _LINEAR | {"num_layers": 1, "num_single_layers": 1, "axes_dims_rope": (2, 2, 4)},
}


@dataclass(frozen=True)
class Setting:
    """Where and how large to measure.

    Attributes:
        device: Where to compute.
        dtype: Type of the bases.
        tiny: Whether the shapes are tiny.
        folder: For images.
    """

    device: str
    dtype: torch.dtype
    tiny: bool
    folder: Path

    @property
    def steps(self) -> int:
        """Return the steps of each kind that are timed, after one or two that are not."""
        return 1 if self.tiny else 5

    def base(self, family: str) -> SizedBase:
        base = SIZED_BASES[family]
        if not self.tiny:
            return base
        return replace(base, config={**base.config, **TINY[family]}, side=16, tokens=4, rank=4)

    def concepts(self, count: int) -> list[Concept]:
        """Return concepts of one small random image each, which loading enlarges."""
        random, concepts = np.random.default_rng(0), []
        for number in range(count):
            path = self.folder / f"{number}.png"
            Image.fromarray(random.integers(256, size=(64, 64, 3), dtype=np.uint8)).save(path)
            concepts.append(Concept(f"concept_{number}", "content", "a sks cat", (path,), ("a sks cat",)))
        return concepts


@dataclass(frozen=True)
class Measure:
    """A measure: its name, the most seconds that it may take, bytes that it needs, and what it does."""

    name: str
    budget: float
    bytes: float
    run: Callable[[], dict[str, Any]]


def of_family(setting: Setting, family: str) -> Iterator[Measure]:
    """Yield the measures of a base: steps with and without checkpointing, generation, prediction and merge."""
    base = setting.base(family)
    counted = replace(count_pass(base, dtype=setting.dtype), decoding=0)  # a random base's autoencoder takes nothing
    works = {w.name: w for w in works_of(replace(base, autoencoder=0), counted, count_prediction(base))}
    budget = 45.0 if family == "flux" else 25.0
    for checkpointing in (", checkpointing", ""):
        for kind in ("zoo", "training", "ZipLoRA"):
            work = works[f"{kind}{checkpointing}"]
            step = partial(_step, setting, base, kind, bool(checkpointing))
            yield Measure(f"{family}, {work.name}", budget, work.offloaded, partial(beside, work, setting, step))
    work = works["generation"]
    run = partial(beside, work, setting, partial(_generation, setting, base))
    yield Measure(f"{family}, generation", budget, work.offloaded, run)
    for method in ("direct", "network"):
        work = works["merge"]
        run = partial(_merge, setting, base, method)
        yield Measure(f"{family}, merge, {method}", 15.0, 2 * work.bytes, run)


def beside(work: Work, setting: Setting, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a measurement with its peak memory beside what the arithmetic says."""
    held = held_bytes(setting.device)
    found = run()
    measured = peak_bytes(setting.device) - (held if setting.device == "cpu" else 0)
    computed = {gpu: work.seconds(gpu) for gpu in ("A100, 80 GB", "H100, 80 GB")}
    return found | {
        "peak_bytes": measured,
        "computed_bytes": work.offloaded,
        "peak_over_computed": measured / work.offloaded,
        "computed_seconds": computed,
    }


def _step(setting: Setting, base: SizedBase, kind: str, checkpointing: bool) -> dict[str, Any]:
    backbone = RandomBackbone(base, setting.device, setting.dtype)
    if checkpointing:
        checkpoint_activations(backbone)
    if kind == "zoo":
        recipe = Recipe(
            rank=base.rank, alphas=(base.rank,), steps=1000, images=1, learning_rate=1e-4, targets=base.targets
        )
        module = ZooTraining(backbone, setting.concepts(1), recipe)
        return {"seconds": step_seconds(module, setting.steps)}
    case = random_case(base.label, backbone, rank=base.rank)
    if kind == "training":
        loras = case.batches(0)[0].loras
        network = new_merger(base.network, loras[0], {}).to(setting.device)
        step = training_step("ours", case, cast(PaperHypernetwork, network), case.batches(0))
        seconds = [timed(step, setting.device)[0] for _ in range(setting.steps + 1)]
        return {"seconds": median(seconds[1:]), "all": seconds}
    # The first value comes before any step; the clock is read after each further one.
    clock = []
    for _ in islice(steps_of(case, ZIPLORA, setting.steps + 1), setting.steps + 2):
        clock.append(timed(lambda: time.perf_counter(), setting.device)[1])
    seconds = [later - earlier for earlier, later in pairwise(clock)]
    return {"seconds": median(seconds[1:]), "all": seconds}


def _generation(setting: Setting, base: SizedBase) -> dict[str, Any]:
    backbone = RandomBackbone(base, setting.device, setting.dtype)
    case = random_case(base.label, backbone, rank=base.rank)
    lora = case.batches(0)[0].loras[0]
    sampling = Sampling(steps=2 if setting.tiny else 4, guidance=5.0)
    runs = [timed(lambda: sample_loras(backbone, [lora], ["a cat"], [0], sampling), setting.device)[0] for _ in (0, 1)]
    return {"seconds": runs[1] / sampling.steps, "unit": "sampling step", "all": runs}


def _merge(setting: Setting, base: SizedBase, method: str) -> dict[str, Any]:
    denoiser = base.new_denoiser(setting.dtype)
    layers = {
        path: (module.out_features, module.in_features)
        for path, module in denoiser.named_modules()
        if isinstance(module, torch.nn.Linear) and path.endswith(base.targets)
    }
    loras = [random_lora(layers, base.rank, seed) for seed in (0, 1)]
    network = new_merger(base.network, loras[0], {}).to(setting.device) if method == "network" else None
    return dict(measure_merge(loras, method, cast(PaperHypernetwork, network), setting.device))


def speedup(setting: Setting) -> dict[str, Any]:
    """Return how many times a prediction is faster than ZipLoRA's 100 steps, some of which are taken."""
    settings = {"device": setting.device, "steps": 2 if setting.tiny else 10, "repetitions": 2 if setting.tiny else 20}
    if not setting.tiny:
        settings |= {"base": "sdxl", "dtype": "bf16", "gradient_checkpointing": True}
    return run_speedup_benchmark(SpeedupConfig(**settings)) | {"claim": CLAIM}


def zoo_in_a_batch(setting: Setting) -> dict[str, Any]:
    """Return the throughput of many LoRAs in a batch against one by one with peft, at Stable Diffusion 1.5's size."""
    base = setting.base("sd15")
    load = partial(RandomBackbone, base, setting.device, setting.dtype)
    recipe = Recipe(rank=base.rank, alphas=(base.rank,), steps=1000, images=1, learning_rate=1e-4)
    concepts = setting.concepts(2 if setting.tiny else BATCH)
    return dict(compare_throughput(load, concepts, recipe, steps=setting.steps, rounds=1 if setting.tiny else 3))


def measures(setting: Setting) -> Iterator[Measure]:
    """Yield all measures, the most wanted first."""
    yield Measure("sdxl, speedup over ZipLoRA", 60.0, 12e9, partial(speedup, setting))
    yield Measure("sd15, LoRAs in a batch", 60.0, 20e9, partial(zoo_in_a_batch, setting))
    for family in FAMILIES:
        yield from of_family(setting, family)


def reason_to_skip(measure: Measure, left: float, free: float) -> str | None:
    """Return why a measure is left out; None where it fits."""
    if measure.budget > left:
        return f"expected {measure.budget:.0f} seconds, found {left:.0f} left"
    if measure.bytes + GAP > free:
        return f"expected {(measure.bytes + GAP) / 1e9:.1f} GB of memory, found {free / 1e9:.1f} GB free"
    return None


@contextmanager
def freed() -> Iterator[None]:
    """Give the device's memory back when the context closes."""
    try:
        yield
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def main(setting: Setting, seconds: float, output: Path) -> None:
    """Measure, and write the results after each measure."""
    end = time.monotonic() + seconds - RESERVE
    results: dict[str, Any] = {"dry_run": setting.tiny, "machine": describe_machine(), "measures": {}, "skipped": {}}
    for measure in measures(setting):
        free = float("inf") if setting.device == "cpu" else torch.cuda.mem_get_info()[0]
        reason = reason_to_skip(measure, end - time.monotonic(), free)
        start = time.monotonic()
        if reason is None:
            with freed():
                try:
                    found = measure.run()
                    results["measures"][measure.name] = found | {"wall": round(time.monotonic() - start, 2)}
                except (torch.OutOfMemoryError, ArithmeticError) as error:  # too large, or diverged
                    reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if reason is not None:
            results["skipped"][measure.name] = reason
        print(measure.name, reason or f"{time.monotonic() - start:.1f} s", flush=True)
        write_json(output, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    chosen = parser.parse_args()
    device, dtype = ("cpu", torch.float32) if chosen.dry_run else ("cuda", torch.bfloat16)
    if not chosen.dry_run and not torch.cuda.is_available():
        parser.error("expected a CUDA device, found none: give --dry-run for tiny shapes on the CPU")
    torch.manual_seed(0)
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        main(Setting(device, dtype, chosen.dry_run, Path(folder)), chosen.minutes * 60, chosen.output)
