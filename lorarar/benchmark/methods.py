"""Score merge methods on the pairs of a split: the demo's and the experiments' one data path."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorarar.benchmark.embedded import Embedded
from lorarar.evaluation.statistics import crossed_interval
from lorarar.hypernetwork import load_network
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.mergers import MERGERS
from lorarar.worlds.toy import PairScorer, Scored

Method = Callable[[Sequence[LoRA]], Coefficients]
METRICS = ("content", "style", "joint", "strict", "content_without_category")


@dataclass(frozen=True)
class Result:
    """One method on all pairs of a split: its images' scores, and seconds to merge one pair."""

    scored: Scored
    merge_seconds: float


def shipped_methods(mergers: Path) -> dict[str, Method]:
    """Direct, average and every learned merger in a folder, by file name."""
    methods: dict[str, Method] = {name: MERGERS[name].call for name in ("direct", "average")}
    return methods | {path.stem: load_network(path).module for path in sorted(mergers.glob("*.safetensors"))}


def run_method(scorer: PairScorer, method: Method, progress: Callable[[int], object] = lambda n: None) -> Result:
    """Merge, generate and score all pairs."""
    seconds, merged = [], []
    with torch.no_grad():
        for pair in scorer.pairs:
            both = (scorer.loras[pair.content.name], scorer.loras[pair.style.name])
            start = time.perf_counter()
            merged.append(merge_exactly(both, method(both)))
            seconds.append(time.perf_counter() - start)
    return Result(scorer.scored(merged, progress), float(torch.tensor(seconds).median()))


def cells(values: Tensor, embedded: Embedded, split: str) -> Any:
    """Scores (pairs, seeds) as (contents, styles, seeds)."""
    members = embedded.splits[split]
    return values.unflatten(0, (len(members.contents), len(members.styles))).numpy()


def summarise(scores: Mapping[str, Tensor], embedded: Embedded, split: str) -> dict[str, Any]:
    """Each metric's mean, and its crossed interval under ``<metric>_interval``."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        estimate = crossed_interval(cells(scores[metric], embedded, split))
        found[metric] = round(estimate.mean, 4)
        found[f"{metric}_interval"] = [round(estimate.low, 4), round(estimate.high, 4)]
    return found
