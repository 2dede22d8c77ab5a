"""A row of the table as two functions: merge pairs, and draw their images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lorarar.benchmark.quality.world import World
from lorarar.benchmark.speed.machine import held_bytes, peak_bytes
from lorarar.datasets import Pair
from lorarar.diffusion import generate
from lorarar.lora import LoRA, one_thread


@dataclass(frozen=True)
class Made:
    """The merge of one pair, None for the base, and what it took.

    Attributes:
        seconds: to merge this pair, LoRAs loaded; of pairs that are optimised in one batch, its share of the time.
        extra_bytes: memory beyond what was held before.
        facts: what else is to be known, such as the pair's own objective before and after.
    """

    lora: LoRA | None
    seconds: float = 0.0
    extra_bytes: int = 0
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A row with its settings chosen.

    Attributes:
        identity: all that its results depend on besides the pair: two methods of equal identity make equal images.
        make: pairs -> a merge for each.
        draw: pairs, their merges, seeds -> images (n, k, 3, height, width), 0 to 1.
    """

    identity: Mapping[str, Any]
    make: Callable[[Sequence[Pair]], list[Made]]
    draw: Callable[[Sequence[Pair], Sequence[Made], Sequence[int]], Tensor]


def draw_merged(world: World, pairs: Sequence[Pair], made: Sequence[Made], seeds: Sequence[int]) -> Tensor:
    """Images of merged LoRAs at the pairs' own prompts, in one batch."""
    prompts = [pair.prompt for pair in pairs]
    return generate(world.backbone, [one.lora for one in made], prompts, seeds, world.sampling)


def one_by_one(world: World, merge_pair: Callable[[Pair], LoRA], pairs: Sequence[Pair]) -> list[Made]:
    """Each pair merged by itself and measured, on one thread."""
    made, device = [], world.config.device
    for pair in pairs:
        with one_thread():
            before, start = held_bytes(device), time.perf_counter()
            lora = merge_pair(pair)
            seconds = time.perf_counter() - start
            made.append(Made(lora, seconds, max(0, peak_bytes(device) - before)))
    return made


def together(world: World, merge_pairs: Callable[[], list[tuple[LoRA, dict[str, float]]]]) -> list[Made]:
    """Pairs merged in one batch: each gets its share of the time, and the whole memory."""
    before, start = held_bytes(world.config.device), time.perf_counter()
    merged = merge_pairs()
    seconds = (time.perf_counter() - start) / len(merged)
    extra = max(0, peak_bytes(world.config.device) - before)
    return [Made(lora, seconds, extra, facts) for lora, facts in merged]
