"""Methods: each merges the pairs of a row, measured, and samples their images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lorarar.benchmark.quality.inputs import QualityInputs
from lorarar.benchmark.speed.machine import held_bytes, peak_bytes
from lorarar.datasets import Pair
from lorarar.diffusion import sample_loras
from lorarar.lora import LoRA, one_thread
from lorarar.mergers import MergeRequest, combine

# Pairs -> for each its merged LoRA and the facts of `MeasuredMerge`.
BatchMerge = Callable[[Sequence[Pair]], list[tuple[LoRA, dict[str, float]]]]


@dataclass(frozen=True)
class MeasuredMerge:
    """The merge of one pair and what it took.

    Attributes:
        lora: The merged LoRA; None where images are sampled without one.
        seconds: Seconds to merge this pair from loaded LoRAs; of pairs that are optimised in one batch, an equal share.
        extra_bytes: Memory beyond what the process held before.
        facts: Further measurements, such as the pair's own objective before and after.
    """

    lora: LoRA | None
    seconds: float = 0.0
    extra_bytes: int = 0
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RowMethod:
    """A row with its settings chosen.

    Attributes:
        identity: Everything that its results depend on besides the pair: methods of equal identity give equal images.
        merge: pairs -> one merge per pair.
        draw: pairs, their merges, seeds -> images (pairs, seeds, 3, height, width), 0 to 1.
    """

    identity: Mapping[str, Any]
    merge: Callable[[Sequence[Pair]], list[MeasuredMerge]]
    draw: Callable[[Sequence[Pair], Sequence[MeasuredMerge], Sequence[int]], Tensor]


def draw_merged(
    inputs: QualityInputs, pairs: Sequence[Pair], merges: Sequence[MeasuredMerge], seeds: Sequence[int]
) -> Tensor:
    """Sample images of merged LoRAs at the pairs' own prompts."""
    loras, prompts = [merge.lora for merge in merges], [pair.prompt for pair in pairs]
    return inputs.draw(lambda part: sample_loras(inputs.backbone, loras, prompts, part, inputs.sampling), seeds)


def merge_one_by_one(
    inputs: QualityInputs, merge_pair: Callable[[Pair], LoRA], pairs: Sequence[Pair]
) -> list[MeasuredMerge]:
    """Merge each pair by itself on one thread, and measure it."""
    merges, device = [], str(inputs.backbone.device)
    for pair in pairs:
        with one_thread():
            before, start = held_bytes(device), time.perf_counter()
            lora = merge_pair(pair)
            seconds = time.perf_counter() - start
            merges.append(MeasuredMerge(lora, seconds, max(0, peak_bytes(device) - before)))
    return merges


def merge_sum(inputs: QualityInputs, loras: Sequence[LoRA]) -> LoRA:
    """Return the sum, which a user can have where a method finds nothing to do."""
    return combine(loras, MergeRequest(merger="direct", device=str(inputs.backbone.device))).lora


def merge_in_batch(inputs: QualityInputs, merge_pairs: BatchMerge, pairs: Sequence[Pair]) -> list[MeasuredMerge]:
    """Merge pairs in one batch and measure it: each pair gets its share of the time, and the whole memory."""
    device = str(inputs.backbone.device)
    before, start = held_bytes(device), time.perf_counter()
    merged = merge_pairs(pairs)
    seconds = (time.perf_counter() - start) / len(merged)
    extra = max(0, peak_bytes(device) - before)
    return [MeasuredMerge(lora, seconds, extra, facts) for lora, facts in merged]
