"""Training speed: our training step against the released formulation's: seconds, memory and gradients, in one run.

Both compute the loss of one batch and its gradient for the paper's network, on the same model. Steps of both take turns
in one process, so that a busy machine slows both alike. Memory is measured in a process for each, whose peak is then
its own (needs Linux on a CPU).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

from lorarar.benchmark.speed.cases import DEFAULT_BASE, SpeedCase, load_case
from lorarar.benchmark.speed.machine import describe_machine, held_bytes, machine_line, peak_bytes, timed
from lorarar.benchmark.speed.released_step import DensePair, released_losses
from lorarar.hypernetwork import PaperHypernetwork, new_merger
from lorarar.lora import one_thread, pick_device
from lorarar.mergers import LossWeights
from lorarar.mergers.optimised import MergerRecipe
from lorarar.training import MergerTraining, PairBatch, PairData

FORMULATIONS = ("ours", "released")
_WEIGHTS = LossWeights()  # the paper's objective
_WARM_STEPS, _MEMORY_STEPS = 2, 3
Step = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class TrainingSpeedConfig:
    """Configuration of ``lorarar benchmark training``.

    Attributes:
        base: As `lorarar.benchmark.speed.cases.load_case` takes it.
        pairs: Pairs per step; the defaults of it and of ``images`` are those of configs/train/embedded_paper.yaml, the
            release has 1.
        images: Images per step of each concept of a pair.
        repetitions: Timed steps of each formulation.
        processes: Measurements of memory of each formulation.
        device: Where to compute: cpu, cuda, mps, or auto for the best one here.
        dtype: Of the base: fp32, bf16 or fp16.
        gradient_checkpointing: Whether activations are computed again in the backward pass.
    """

    base: str = DEFAULT_BASE
    pairs: int = 2
    images: int = 2
    repetitions: int = 20
    processes: int = 3
    device: str = "auto"
    dtype: str = "fp32"
    gradient_checkpointing: bool = False


class _Bare(MergerTraining):
    """The trainer's step without a Trainer around it."""

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run a plain backward pass: there is no precision plugin."""
        loss.backward()


def run_training_benchmark(config: TrainingSpeedConfig) -> dict[str, Any]:
    """Measure both formulations.

    Returns:
        Plain data, fit for JSON: the configuration, the machine; for each kind the median "seconds" of a step, the
        median "extra_bytes" beyond what the loaded model takes (the released formulation's dense deltas are among them)
        and the "loss"; "seconds_to_densify" the batch's LoRAs, which is not in the released step; "ratios", released
        over ours; "gradient_difference", |g_ours - g_released| / |g_released| over all parameters; "all" single values.
    """
    config = replace(config, device=str(pick_device(config.device)))
    with one_thread():
        result = _one_process(config)
    memory: dict[str, list[int]] = {kind: [] for kind in FORMULATIONS}
    for _ in range(config.processes):
        for kind in FORMULATIONS:
            memory[kind].append(_extra_bytes(config, kind))
    seconds, losses = result.pop("seconds"), result.pop("losses")
    medians = {
        kind: {"seconds": median(seconds[kind]), "extra_bytes": median(memory[kind]), "loss": losses[kind]}
        for kind in FORMULATIONS
    }
    ratios = {key: medians["released"][key] / medians["ours"][key] for key in ("seconds", "extra_bytes")}
    return {
        "config": asdict(config),
        **medians,
        "ratios": ratios,
        **result,
        "all": {"seconds": seconds, "extra_bytes": memory},
    }


def gradient(network: nn.Module) -> Tensor:
    """Return all gradients of a network as one vector, a copy."""
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def difference(ours: Tensor, released: Tensor) -> float:
    """Return |ours - released| / |released|."""
    return float((ours - released).norm() / released.norm())


def training_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return several results as one table."""
    lines = [
        machine_line(results[0]["machine"]),
        "",
        "| base | pairs x images | checkpointing | ours, ms | released, ms | times faster "
        "| ours, MB | released, MB | times less | gradients differ by |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        config, ratios = result["config"], result["ratios"]
        cells = [config["base"], f"{config['pairs']} x {config['images']}"]
        cells += ["yes" if config["gradient_checkpointing"] else "no"]
        cells += [f"{result[kind]['seconds'] * 1e3:.1f}" for kind in FORMULATIONS] + [f"{ratios['seconds']:.2f}"]
        cells += [f"{result[kind]['extra_bytes'] / 1e6:.0f}" for kind in FORMULATIONS]
        cells += [f"{ratios['extra_bytes']:.2f}"]
        cells += [f"{result['gradient_difference']:.0e}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _one_process(config: TrainingSpeedConfig) -> dict[str, Any]:
    """Measure losses, gradients and seconds of both formulations in this process; the model is freed afterwards."""
    case, network = _case(config)
    pairs = case.batches(0)
    steps = {kind: training_step(kind, case, network, pairs) for kind in FORMULATIONS}
    losses, gradients = {}, {}
    for kind, step in steps.items():
        network.zero_grad()
        losses[kind] = step()["loss"]
        gradients[kind] = gradient(network)
    return {
        "losses": losses,
        "gradient_difference": difference(gradients["ours"], gradients["released"]),
        "seconds": _seconds(steps, network, config),
        "seconds_to_densify": timed(lambda: _dense(case, network, pairs), config.device)[0],
        "machine": describe_machine(),
    }


def _case(config: TrainingSpeedConfig) -> tuple[SpeedCase, PaperHypernetwork]:
    case = load_case(
        config.base,
        pairs=config.pairs,
        images=config.images,
        device=config.device,
        dtype=config.dtype,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    torch.manual_seed(0)
    network = new_merger("paper", case.batches(0)[0].loras[0], {}).to(case.backbone.device)
    return case, cast(PaperHypernetwork, network)


def training_step(kind: str, case: SpeedCase, network: PaperHypernetwork, pairs: Sequence[PairBatch]) -> Step:
    """Return a step of a formulation in `FORMULATIONS`: loss and gradient of a batch; gradients add up."""
    if kind == "ours":
        # The step itself needs no data from the module.
        module = _Bare(network, case.backbone, cast(PairData, None), MergerRecipe(1, 0.01), _WEIGHTS).to(
            case.backbone.device
        )
        return lambda: module.losses(pairs, backward=True)
    dense = _dense(case, network, pairs)
    return lambda: released_losses(case.backbone, pairs, dense, _WEIGHTS, backward=True)


def _dense(case: SpeedCase, network: PaperHypernetwork, pairs: Sequence[PairBatch]) -> list[DensePair]:
    return [DensePair(case.backbone.denoiser, pair.loras, network) for pair in pairs]


def _seconds(
    steps: Mapping[str, Step], network: PaperHypernetwork, config: TrainingSpeedConfig
) -> dict[str, list[float]]:
    """Time steps of both formulations in turn, after some that do not count."""
    durations: dict[str, list[float]] = {kind: [] for kind in steps}
    for number in range(_WARM_STEPS + config.repetitions):
        for kind, step in steps.items():
            network.zero_grad()
            seconds, _ = timed(step, config.device)
            if number >= _WARM_STEPS:
                durations[kind].append(seconds)
    return durations


def _extra_bytes(config: TrainingSpeedConfig, kind: str) -> int:
    command = [sys.executable, "-m", "lorarar.benchmark.speed.training", kind, json.dumps(asdict(config))]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure_memory(config: TrainingSpeedConfig, kind: str) -> int:
    """Return the most bytes that some steps take beyond the loaded model, network and batch."""
    with one_thread():
        case, network = _case(config)
        pairs, device = case.batches(0), str(case.backbone.device)
        before = held_bytes(device)
        step = training_step(kind, case, network, pairs)
        for _ in range(_MEMORY_STEPS):
            network.zero_grad()
            step()
        return peak_bytes(device) - before


def print_memory(argv: Sequence[str] | None = None) -> None:
    """Print `measure_memory` of a formulation and of a configuration in JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=FORMULATIONS)
    parser.add_argument("config")
    arguments = parser.parse_args(argv)
    print(measure_memory(TrainingSpeedConfig(**json.loads(arguments.config)), arguments.kind))


if __name__ == "__main__":
    print_memory()
