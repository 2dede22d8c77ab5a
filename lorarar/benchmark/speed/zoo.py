"""Zoo: many LoRAs in one batch against one by one with peft: throughput as a ratio, in one run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import lightning
import torch

from lorarar.datasets import Concept
from lorarar.diffusion import Backbone, load_backbone
from lorarar.storage import quiet_libraries
from lorarar.training import PeftTraining, Recipe, ZooTraining, expected_warnings_ignored
from lorarar.workflows import ZooConfig, zoo_concepts


def run_zoo_speed(config: ZooConfig) -> str:
    """Measure the throughput of ``config.group`` LoRAs at once against one by one with peft; return JSON."""
    members = zoo_concepts(config)[: config.group]
    load = partial(load_backbone, config.base, device="cpu")
    throughput = compare_throughput(load, members, config.recipe, steps=10, rounds=3)
    return json.dumps({key: round(value, 4) for key, value in throughput.items()})


def compare_throughput(
    load: Callable[[], Backbone], concepts: Sequence[Concept], recipe: Recipe, *, steps: int, rounds: int
) -> dict[str, float]:
    """Measure training in alternation: one LoRA with peft, then all LoRAs at once.

    Args:
        load: Returns the base, without an adapter.
        concepts: One LoRA is trained for each.
        steps: Steps of each measurement, after two that do not count.
        rounds: Measurements of both; medians are reported.

    Returns:
        ``one_by_one`` and ``together`` in seconds per LoRA and step, their ``ratio``, and the number of LoRAs
        (``group``).
    """
    alone, together = [], []
    for _ in range(rounds):
        alone.append(step_seconds(PeftTraining(load(), concepts[0], recipe), steps))
        together.append(step_seconds(ZooTraining(load(), concepts, recipe), steps) / len(concepts))
    medians = [sorted(values)[len(values) // 2] for values in (alone, together)]
    return {"one_by_one": medians[0], "together": medians[1], "ratio": medians[0] / medians[1], "group": len(concepts)}


def step_seconds(module: PeftTraining | ZooTraining, steps: int) -> float:
    """Return the seconds per step of a module in a plain Trainer, after two steps that do not count."""
    quiet_libraries()
    clock = _Clock()
    loader = torch.utils.data.DataLoader(cast("torch.utils.data.Dataset[int]", range(steps + 2)), batch_size=None)
    trainer = lightning.Trainer(
        max_steps=steps + 2,
        accelerator=module.backbone.device.type,
        precision="bf16-mixed" if module.backbone.dtype == torch.bfloat16 else "32-true",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
        default_root_dir=Path("runs"),
    )
    with expected_warnings_ignored():
        trainer.fit(module, loader)
    return (clock.times[-1] - clock.times[1]) / steps


class _Clock(lightning.Callback):
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
