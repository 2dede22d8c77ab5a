"""Scores of merge methods on the pairs of a split: the one data path of the demo and the experiments."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorarar.benchmark.embedded import Embedded
from lorarar.evaluation.statistics import Estimate, crossed_interval
from lorarar.hypernetwork import load_network
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.worlds.stages import PairScorer, ScoredImages

PairMerger = Callable[[Sequence[LoRA]], Coefficients]
REPORTED_METRICS = ("content", "style", "joint", "strict", "content_without_category")


@dataclass(frozen=True)
class MethodResult:
    """One method on all pairs of a split: the scores of its images, and seconds to merge one pair."""

    scored: ScoredImages
    merge_seconds: float


def shipped_methods(mergers: Path) -> dict[str, PairMerger]:
    """Return direct, average and every learned merger in a folder, by file name."""
    methods: dict[str, PairMerger] = {name: MERGERS[name].call for name in ("direct", "average")}
    for path in sorted(mergers.glob("*.safetensors")):
        methods[path.stem] = load_network(path).module
    return methods


def run_method(
    scorer: PairScorer, method: PairMerger, progress: Callable[[int], object] = lambda images: None
) -> MethodResult:
    """Merge, sample and score all pairs.

    Args:
        progress: Called with the number of images after each batch.
    """
    seconds, merged = [], []
    with torch.no_grad():
        for pair in scorer.pairs:
            loras = (scorer.loras[pair.content.name], scorer.loras[pair.style.name])
            start = time.perf_counter()
            merged.append(merge_exactly(loras, method(loras)))
            seconds.append(time.perf_counter() - start)
    return MethodResult(scorer.scored(merged, progress), float(torch.tensor(seconds).median()))


def by_concept(values: Tensor, embedded: Embedded, split: str) -> NDArray[np.float32]:
    """Return scores (pairs, seeds) as (contents, styles, seeds)."""
    members = embedded.splits[split]
    array: NDArray[np.float32] = values.unflatten(0, (len(members.contents), len(members.styles))).numpy()
    return array


def estimate_scores(scores: Mapping[str, Tensor], embedded: Embedded, split: str) -> dict[str, Estimate]:
    """Return the mean of each of `REPORTED_METRICS` with its crossed interval."""
    return {
        metric: crossed_interval(by_concept(scores[metric], embedded, split), shares=True)
        for metric in REPORTED_METRICS
    }
