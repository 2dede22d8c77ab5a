"""Speedup: a hypernetwork's prediction of coefficients against ZipLoRA's optimisation of them, in one run.

ZipLoRA's steps, the networks' predictions and the model's own forward passes take turns on one machine and one pair.
Images are encoded before. ZipLoRA's costs beside its steps (start values, optimiser) count. Arithmetic explains its
time: steps x passes per step x the cost of a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import mean, median
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lorarar.benchmark.speed.cases import DEFAULT_BASE, SpeedCase, content_batch, load_case
from lorarar.benchmark.speed.machine import describe_machine, machine_line, timed
from lorarar.hypernetwork import ConstantMerger, load_network, new_merger
from lorarar.lora import LoRA, one_thread, pick_device
from lorarar.mergers import weighted_total
from lorarar.mergers.optimised import ZIPLORA, PairMethod
from lorarar.storage import NETWORKS, checked
from lorarar.training import PairBatch, objective_terms

# In forward passes of one image: two teachers', two merged, and the latter's backward. The model is frozen, so that a
# backward is about one forward: the gradient of inputs, not of weights. Checkpointing runs the merged ones again.
_PASSES, _CHECKPOINTED_PASSES = 6, 8
_SHIPPED = {"paper": "hypernetwork_paper", "ours": "hypernetwork"}
_KINDS = {"paper": "paper", "ours": "layerwise"}
_ENDS = 10  # steps at the start and at the end whose mean loss is reported


@dataclass(frozen=True)
class SpeedupConfig:
    """Configuration of ``lorarar benchmark speedup``.

    Attributes:
        base: As `lorarar.benchmark.speed.cases.load_case` takes it. The embedded base is measured with the shipped
            networks, others with random ones of their size.
        steps: Steps of ZipLoRA that run. With fewer than the method's 100 its time is scaled up; 0 runs none and leaves
            the arithmetic.
        repetitions: Repetitions of each prediction and of the forward pass.
        device: Where to compute: cpu, cuda, mps, or auto for the best one here.
        dtype: Of the base: fp32, bf16 or fp16.
        gradient_checkpointing: Whether activations are computed again in the backward pass.
    """

    base: str = DEFAULT_BASE
    steps: int = ZIPLORA.recipe.steps
    repetitions: int = 20
    device: str = "auto"
    dtype: str = "fp32"
    gradient_checkpointing: bool = False


def run_speedup_benchmark(config: SpeedupConfig) -> dict[str, Any]:
    """Measure predictions, passes and ZipLoRA's steps.

    Returns:
        Plain data, fit for JSON: the configuration, the machine; "pass": median seconds and floating-point operations
        (two a multiply-add) of one image's forward pass through the base; "networks": for each median seconds, its
        operations, and "times_faster" than ZipLoRA; "ziplora": seconds of all steps, of one step (median), of the
        start, mean loss of the first and last ten steps; "arithmetic": steps x passes x seconds of a pass, and the
        measured time over it; "all" single values. Without steps ZipLoRA's time is the arithmetic's.

    Raises:
        ValueError: There are more steps than the method has, or no repetitions.
    """
    if not 0 <= config.steps <= ZIPLORA.recipe.steps or config.repetitions < 1:
        raise ValueError(
            f"expected 0 to {ZIPLORA.recipe.steps} steps and at least one repetition, found {config.steps} and "
            f"{config.repetitions}"
        )
    config = replace(config, device=str(pick_device(config.device)))
    with one_thread():
        case = load_case(
            config.base,
            device=config.device,
            dtype=config.dtype,
            gradient_checkpointing=config.gradient_checkpointing,
        )
        loras = case.batches(0)[0].loras
        networks = {name: network.to(config.device) for name, network in _networks(config.base, loras[0]).items()}
        measured = _measure(case, networks, config)
        flops = {name: operations(partial(network, loras)) for name, network in networks.items()}
        machine = describe_machine()
    return _results(config, measured, flops, pass_operations(case)) | {
        "machine": machine,
        "layers": len(loras[0].layers),
    }


def steps_of(case: SpeedCase, method: PairMethod, steps: int) -> Iterator[tuple[ConstantMerger, float]]:
    """Run ZipLoRA on a case's first pair: yield the coefficients before any step, then after each, with its loss.

    The step is that of `lorarar.training.pair_training.PairTraining` on one pair, without a Trainer around it.
    """
    merger = method.initial(case.batches(0)[0].loras).to(case.backbone.device)
    recipe = method.recipe
    optimiser = torch.optim.AdamW(merger.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    yield merger, float("nan")
    for step in range(steps):
        batch: list[PairBatch] = case.batches(step)
        optimiser.zero_grad()
        with objective_terms(case.backbone, batch, [merger(pair.loras) for pair in batch], method.weights) as terms:
            loss = weighted_total(method.weights, terms).sum()
            loss.backward()
        nn.utils.clip_grad_norm_(merger.parameters(), recipe.clip)
        optimiser.step()
        yield merger, float(loss.detach())


def operations(work: Callable[[], object]) -> int:
    """Count the floating-point operations of matrix products and convolutions, two per multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return int(counter.get_total_flops())


def pass_operations(case: SpeedCase) -> int:
    """Count the operations of one image's forward pass on a model without weights: nothing is computed."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(case.backbone.pipeline.unet.config)
    images = content_batch(case.batches(0)[0])
    noisy, timesteps, embeddings, pooled = (
        part[:1].to("meta", torch.float32)
        for part in (
            images.noisy,
            images.timesteps,
            images.conditioning.embeddings,
            cast(Tensor, images.conditioning.pooled),
        )
    )
    extra = {"text_embeds": pooled, "time_ids": torch.empty(1, 6, device="meta")}
    return operations(lambda: unet(noisy, timesteps, embeddings, added_cond_kwargs=extra))


def speedup_table(results: Mapping[str, Any]) -> str:
    """Return the results as text for people."""
    config, ziplora, arithmetic, cost = (results[key] for key in ("config", "ziplora", "arithmetic", "pass"))
    note = f"{config['steps']} of {arithmetic['steps']} steps taken" if config["steps"] else "not run: arithmetic only"
    lines = [
        machine_line(results["machine"]),
        f"Base {config['base']} ({config['device']}, {config['dtype']}), {results['layers']} adapted layers; a forward "
        f"pass of one image: {cost['seconds'] * 1e3:.1f} ms, {cost['operations'] / 1e9:.2f} GFLOP.",
        "",
        "| from loaded LoRAs to coefficients | seconds | GFLOP | ZipLoRA takes, times |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| network, {name} | {speed['seconds']:.4g} | {speed['operations'] / 1e9:.3g} | {speed['times_faster']:.0f} |"
        for name, speed in results["networks"].items()
    ]
    lines += [
        f"| ZipLoRA, {note} | {ziplora['seconds']:.4g} | {arithmetic['operations'] / 1e9:.3g} | 1 |",
        "",
        f"Arithmetic: {arithmetic['steps']} steps x {arithmetic['passes']} passes x {cost['seconds'] * 1e3:.1f} ms = "
        f"{arithmetic['seconds']:.4g} s; measured over that: {arithmetic['measured_over_it']:.2f}.",
    ]
    return "\n".join(lines)


def _networks(base: str, lora: LoRA) -> dict[str, nn.Module]:
    if base == DEFAULT_BASE:
        return {name: load_network(checked(NETWORKS / f"{file}.safetensors")).module for name, file in _SHIPPED.items()}
    torch.manual_seed(0)
    return {name: new_merger(kind, lora, {}).eval() for name, kind in _KINDS.items()}


def _measure(case: SpeedCase, networks: Mapping[str, nn.Module], config: SpeedupConfig) -> dict[str, list[float]]:
    """Return the seconds of every prediction, pass and step, and the losses of the steps."""
    first = case.batches(0)[0]
    images, loras = content_batch(first), first.loras
    quick: dict[str, Callable[[], object]] = {name: partial(network, loras) for name, network in networks.items()}
    one = (images.noisy[:1], images.timesteps[:1], images.conditioning[:1])
    quick["pass"] = lambda: case.backbone.predict(*one)
    measured: dict[str, list[float]] = {name: [] for name in (*quick, "start", "step", "loss")}
    run = steps_of(case, ZIPLORA, config.steps)
    seconds, _ = timed(lambda: next(run), config.device)
    measured["start"].append(seconds)
    with torch.no_grad():
        for work in quick.values():
            work()  # the first product loads kernels
    for turn in range(config.repetitions):
        with torch.no_grad():
            for name, work in quick.items():
                measured[name].append(timed(work, config.device)[0])
        for _ in range(config.steps * turn // config.repetitions, config.steps * (turn + 1) // config.repetitions):
            seconds, (_, loss) = timed(lambda: next(run), config.device)
            measured["step"].append(seconds)
            measured["loss"].append(loss)
    return measured


def _results(
    config: SpeedupConfig, measured: Mapping[str, list[float]], flops: Mapping[str, int], pass_flops: int
) -> dict[str, Any]:
    steps = ZIPLORA.recipe.steps
    passes = _CHECKPOINTED_PASSES if config.gradient_checkpointing else _PASSES
    pass_seconds = median(measured["pass"])
    expected = steps * passes * pass_seconds
    step_seconds = measured["step"]
    total = sum(measured["start"]) + sum(step_seconds) * steps / len(step_seconds) if step_seconds else expected
    return {
        "config": asdict(config),
        "pass": {"seconds": pass_seconds, "operations": pass_flops},
        "networks": {
            name: {
                "seconds": median(measured[name]),
                "operations": count,
                "times_faster": total / median(measured[name]),
            }
            for name, count in flops.items()
        },
        "ziplora": {
            "seconds": total,
            "step_seconds": median(step_seconds) if step_seconds else None,
            "first_losses": mean(measured["loss"][:_ENDS]) if step_seconds else None,
            "last_losses": mean(measured["loss"][-_ENDS:]) if step_seconds else None,
        },
        "arithmetic": {
            "steps": steps,
            "passes": passes,
            "seconds": expected,
            "operations": steps * passes * pass_flops,
            "measured_over_it": total / expected,
        },
        "all": dict(measured),
    }
