"""All shipped methods on the pairs of a split, with ceilings, crossed intervals and paired differences."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lorarar.benchmark.ceiling import true_renders
from lorarar.benchmark.embedded import DATA, Embedded, load_embedded
from lorarar.benchmark.methods import METRICS, cells, run_alone, run_method, shipped_methods, summarise
from lorarar.cards import checked
from lorarar.formats.files import atomic_write
from lorarar.statistics import paired_interval
from lorarar.toyworld.scoring import read_images, truth_of


@dataclass(frozen=True)
class CompareConfig:
    """``lorarar benchmark compare``.

    Attributes:
        reference: the method that all others are compared with, pair by pair and seed by seed.
        output: folder for results.json and table.md.
    """

    output: Path
    reference: str
    split: str = "test"
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    data: Path = DATA


def run_compare(config: CompareConfig) -> str:
    """Score every method; write ``results.json`` and ``table.md``; return the table."""
    embedded = load_embedded([config.split], config.data)
    for path in sorted((config.data / "mergers").glob("*.safetensors")):
        checked(path)
    scores, seconds = _scores(embedded, config)
    if config.reference not in scores:
        raise ValueError(f"expected a reference among {sorted(scores)}, found {config.reference!r}")
    record: dict[str, Any] = {
        "split": config.split,
        "pairs": len(embedded.pairs(config.split)),
        "seeds": list(config.seeds),
        "methods": {
            name: summarise(found, embedded, config.split) | {"merge_seconds": seconds.get(name)}
            for name, found in scores.items()
        },
        f"{config.reference}_minus": _differences(scores, embedded, config),
        "raw": {name: {m: v[m].tolist() for m in ("content", "style", "strict")} for name, v in scores.items()},
    }
    config.output.mkdir(parents=True, exist_ok=True)
    text = _table(record, config.reference)
    for file, content in (("results.json", json.dumps(record) + "\n"), ("table.md", text + "\n")):
        with atomic_write(config.output / file, force=True) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return text


def _scores(embedded: Embedded, config: CompareConfig) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
    """Scores (pairs, seeds) of true renders, each LoRA alone and every method; seconds to merge a pair."""
    scorer = embedded.scorer(config.split, config.seeds)
    methods = shipped_methods(config.data / "mergers")
    renders = torch.stack([true_renders(pair, range(len(config.seeds))) for pair in scorer.pairs])
    truths = [truth_of(pair) for pair in scorer.pairs]
    scores = {"true renders": read_images(embedded.reader, (renders + 1) / 2, truths)}
    seconds = {}
    total = len(scorer.pairs) * len(config.seeds) * (len(methods) + 2)
    with tqdm(total=total, desc="images", unit="image") as bar:
        for side in ("content", "style"):
            scores[f"{side} LoRA alone"] = run_alone(scorer, side, bar.update).scores
        for name, method in methods.items():
            result = run_method(scorer, method, bar.update)
            scores[name], seconds[name] = result.scored.scores, result.merge_seconds
    return scores, seconds


def _differences(
    scores: dict[str, dict[str, Tensor]], embedded: Embedded, config: CompareConfig
) -> dict[str, dict[str, Any]]:
    """The reference minus each other method, paired, with crossed intervals."""
    found: dict[str, dict[str, Any]] = {}
    for name in scores:
        if name == config.reference or name == "true renders" or name.endswith("alone"):
            continue
        found[name] = {
            metric: asdict(
                paired_interval(
                    cells(scores[config.reference][metric], embedded, config.split),
                    cells(scores[name][metric], embedded, config.split),
                )
            )
            for metric in METRICS
        }
    return found


def _table(record: dict[str, Any], reference: str) -> str:
    lines = [
        "| method | content | style | joint | strict "
        f"| joint, {reference} minus this | strict, {reference} minus this |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in record["methods"].items():
        values = [_interval(found[m], *found[f"{m}_interval"]) for m in ("content", "style", "joint", "strict")]
        gains = record[f"{reference}_minus"].get(name)
        values += [_interval(*gains[m].values(), sign="+") if gains else "" for m in ("joint", "strict")]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(values)} |")
    return "\n".join(lines)


def _interval(mean: float, low: float, high: float, sign: str = "") -> str:
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
