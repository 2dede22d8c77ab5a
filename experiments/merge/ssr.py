"""Time and memory of SSR-Merge at SDXL's size on the CPU: the base's passes, and the merge of what they gave.

    python experiments/merge/ssr.py [ROUNDS] > experiments/merge/ssr.json

Two random rank-64 LoRAs of SDXL's attention; a UNet of SDXL's shapes with random float32 weights, which take the time
and the memory of true ones, at 1024 x 1024 pixels; its text encoders are left out. The floor, a process that loads,
concatenates and saves both files, runs before each round.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lorarar.benchmark.size import SIZED_BASES
from lorarar.benchmark.speed import floor
from lorarar.benchmark.speed.launch import run_launched
from lorarar.benchmark.speed.machine import describe_machine, held_bytes, peak_bytes, timed
from lorarar.benchmark.speed.random_base import RandomBackbone
from lorarar.benchmark.speed.synthetic import synthetic_lora
from lorarar.diffusion import rank_signals
from lorarar.formats import save
from lorarar.lora import LoRA
from lorarar.mergers import MergeRequest, combine

PROMPTS = ("a dog", "in watercolour style")


def measure(rounds: int) -> dict[str, Any]:
    """Return seconds and bytes of every round, and the machine."""
    loras = [synthetic_lora("sdxl", 64, seed) for seed in (0, 1)]
    backbone = RandomBackbone(SIZED_BASES["sdxl"], "cpu", torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{name}.safetensors") for name in ("content", "style", "merged")]
        for lora, file in zip(loras, files, strict=False):
            save(lora, file)
        command = [sys.executable, str(floor.__file__), *files]
        run_launched(command)  # fills the file cache
        return {"machine": describe_machine(), "rounds": [one_round(backbone, loras, command) for _ in range(rounds)]}


def one_round(backbone: RandomBackbone, loras: Sequence[LoRA], floor_command: Sequence[str]) -> dict[str, float]:
    """Return the seconds of the floor, the passes and both merges, and the bytes that the passes and the merge add."""
    floor_seconds = run_launched(floor_command)["seconds"]
    held = held_bytes("cpu")
    passes, moments = timed(partial(rank_signals, backbone, loras, PROMPTS), "cpu")
    passes_bytes = peak_bytes("cpu") - held
    total, held = peak_bytes("cpu"), held_bytes("cpu")
    ssr, _ = timed(partial(combine, loras, MergeRequest(merger="ssr"), lambda _: moments), "cpu")
    ssr_bytes = peak_bytes("cpu") - held
    direct, _ = timed(partial(combine, loras, MergeRequest(merger="direct")), "cpu")
    return {
        "floor_seconds": floor_seconds,
        "passes_seconds": passes,
        "ssr_seconds": ssr,
        "direct_seconds": direct,
        "passes_bytes": passes_bytes,
        "ssr_bytes": ssr_bytes,
        "total_bytes": total,
    }


if __name__ == "__main__":
    json.dump(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2), sys.stdout, indent=1)
