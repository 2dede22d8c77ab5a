"""Ranks, the paper's table and statements, and SHAP values of the LyCORIS experiment.

    python experiments/lycoris/analyse.py [RESULTS] [OUTPUT]

Every criterion is ranked over all checkpoints, for each class and type of prompt, as (n - rank) / (n - 1), ties
averaged; 1 is best. Differences have 95 % intervals over classes and training seeds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from configurations import CHECKPOINTS, CONTENTS, STYLES, Configuration, configurations

from lorarar.datasets import TYPES
from lorarar.evaluation.statistics import Estimate, crossed_interval, paired_interval, spearman
from lorarar.storage import write_json, write_text

HERE = Path(__file__).parent
CLASSES = (*CONTENTS, *STYLES)
CRITERIA = ("fidelity", "controllability", "diversity", "base preservation", "style fidelity")
KEPT = {"fidelity": ("train", "trigger"), "controllability": ("alter", "style")}  # types that a criterion is read at
ALGORITHMS, PRESETS = ("LoRA", "LoHa", "LoKr", "native"), ("attn-only", "attn-mlp", "full")
# Ranks of the first three criteria in the paper.
PAPER = {
    "LoRA": (3, 2, 3),
    "LoHa": (2, 4, 4),
    "LoKr": (4, 1, 2),
    "native, high rate": (5, 3, 1),
    "native, low rate": (1, 5, 5),
}
Chosen = Callable[[Configuration, int], bool]


@dataclass(frozen=True)
class Statement:
    """A statement of the paper: `first` has a higher rank than `second` on a criterion."""

    text: str
    criterion: str
    first: Chosen
    second: Chosen


def _default(algorithm: str) -> Chosen:
    return lambda c, steps: c.algorithm == algorithm and c.preset == "attn-mlp" and c.capacity == 0 and c.rate == 1


def _preset(preset: str) -> Chosen:
    return lambda c, steps: c.preset == preset and c.capacity == 0 and c.rate == 1


def _later(index: int) -> Chosen:
    return lambda c, steps: steps == CHECKPOINTS[index]


def _large(capacity: int) -> Chosen:
    return lambda c, steps: c.algorithm != "native" and c.preset == "attn-mlp" and c.capacity == capacity


STATEMENTS = [
    Statement("LoKr fits more than LoRA", "fidelity", _default("LoKr"), _default("LoRA")),
    Statement("LoRA fits more than LoHa", "fidelity", _default("LoRA"), _default("LoHa")),
    Statement("more training raises fidelity", "fidelity", _later(-1), _later(0)),
    Statement("more training lowers controllability", "controllability", _later(0), _later(-1)),
    Statement("more training lowers diversity", "diversity", _later(0), _later(-1)),
    Statement("more capacity raises fidelity", "fidelity", _large(1), _large(0)),
    Statement("more capacity lowers controllability", "controllability", _large(0), _large(1)),
    Statement("attention alone lowers fidelity", "fidelity", _preset("attn-mlp"), _preset("attn-only")),
    Statement("attention alone keeps more of the base", "base preservation", _preset("attn-only"), _preset("attn-mlp")),
    Statement("convolutions raise fidelity", "fidelity", _preset("full"), _preset("attn-mlp")),
]


def classes_of(criterion: str) -> tuple[str, ...]:
    """Return the classes that a criterion is measured on."""
    return STYLES if criterion == "style fidelity" else CLASSES


class Ranks:
    """Normalised ranks of every checkpoint.

    Attributes:
        keys: The checkpoints: configuration, seed, steps.
        values: Criterion -> type of prompt -> ranks (checkpoints, classes).
        raw: The same before ranking.
    """

    def __init__(self, rows: list[Mapping[str, Any]]) -> None:
        by_name = {chosen.name: chosen for chosen in configurations()}
        self.keys = [(by_name[row["configuration"]], row["seed"], row["steps"]) for row in rows]
        self.raw = {
            criterion: {
                kind: np.array(
                    [[row["values"][name][kind][criterion] for name in classes_of(criterion)] for row in rows]
                )
                for kind in TYPES
            }
            for criterion in CRITERIA
        }
        self.values = {c: {kind: normalised(v) for kind, v in by_type.items()} for c, by_type in self.raw.items()}

    def mean(self, criterion: str) -> np.ndarray:
        """Return the mean ranks of a criterion over its types, (checkpoints, classes)."""
        mean: np.ndarray = np.mean([self.values[criterion][kind] for kind in KEPT.get(criterion, TYPES)], axis=0)
        return mean

    def table(self, criterion: str, chosen: Chosen) -> np.ndarray:
        """Return the mean ranks of some checkpoints, (classes, seeds, 1)."""
        mean, seeds = self.mean(criterion), sorted({seed for _, seed, _ in self.keys})
        picked = [[s == seed and chosen(c, steps) for c, s, steps in self.keys] for seed in seeds]
        return np.stack([mean[mask].mean(0) for mask in picked], axis=1)[:, :, None]


def normalised(values: np.ndarray) -> np.ndarray:
    """Return (n - rank) / (n - 1) of each column, ties averaged: 1 for the highest value."""
    below = (values[:, None] > values[None]).sum(1) + 0.5 * ((values[:, None] == values[None]).sum(1) - 1)
    return below / (len(values) - 1)


def algorithm_table(ranks: Ranks) -> tuple[str, dict[str, Any]]:
    """Return the table of algorithms beside the paper's: 5 is best."""
    chosen = {name: _default(name) for name in ALGORITHMS[:3]}
    chosen |= {
        f"native, {word} rate": (lambda c, steps, rate=rate: c.algorithm == "native" and c.rate == rate)
        for word, rate in (("high", 2), ("low", 0))
    }
    record: dict[str, Any] = {}
    for column, criterion in enumerate(CRITERIA):
        means = {name: crossed_interval(ranks.table(criterion, pick), shares=True) for name, pick in chosen.items()}
        order = sorted(means, key=lambda name: means[name].mean)
        paper = {name: PAPER[name][column] if column < len(PAPER[name]) else None for name in chosen}
        ranked = {name: {"rank": order.index(name) + 1, "paper": paper[name]} for name in chosen}
        record[criterion] = {name: ranked[name] | asdict(means[name]) for name in chosen}
    lines = [f"| | {' | '.join(CRITERIA)} |", "|---" * (len(CRITERIA) + 1) + "|"]
    for name in chosen:
        cells = []
        for rows in record.values():
            row = rows[name]
            paper = f" (paper {row['paper']})" if row["paper"] else ""
            cells.append(f"{row['rank']}{paper}; {row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n", record


def verdict(difference: Estimate) -> str:
    """Return what an interval says about a statement."""
    return "confirmed" if difference.low > 0 else "contradicted" if difference.high < 0 else "undecided"


def statements_table(ranks: Ranks) -> tuple[str, list[dict[str, Any]]]:
    """Return each statement with the difference of the mean ranks and the verdict."""
    record = []
    for each in STATEMENTS:
        tables = (ranks.table(each.criterion, pick) for pick in (each.first, each.second))
        difference = paired_interval(*tables)
        record.append({"statement": each.text, **asdict(difference), "verdict": verdict(difference)})
    lines = ["| statement | difference of ranks | |", "|---|---|---|"]
    for row in record:
        interval = f"{row['mean']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        lines.append(f"| {row['statement']} | {interval} | {row['verdict']} |")
    return "\n".join(lines) + "\n", record


def correlations(ranks: Ranks) -> dict[str, float]:
    """Return the rank correlation of fidelity and controllability for each type of prompt, a mean over classes."""
    found = {}
    for kind in TYPES:
        pairs = zip(ranks.raw["fidelity"][kind].T, ranks.raw["controllability"][kind].T, strict=True)
        found[kind] = round(float(np.nanmean([spearman(a, b) for a, b in pairs])), 3)
    return found


def effects(ranks: Ranks) -> str:
    """Return the SHAP values of five variables, overtrained checkpoints (highest rate, last step) left out."""
    sys.path.insert(0, str(HERE.parent / "metrics"))
    from effects import Table, effects_table, measure_effects

    kept = [i for i, (c, _, steps) in enumerate(ranks.keys) if not (c.rate == 2 and steps == CHECKPOINTS[-1])]
    settings = [
        [ALGORITHMS.index(c.algorithm), PRESETS.index(c.preset), steps, c.capacity, c.rate]
        for c, _, steps in (ranks.keys[i] for i in kept)
    ]
    criteria = {criterion: ranks.mean(criterion).mean(1)[kept] for criterion in CRITERIA}
    table = Table(("algorithm", "layers", "steps", "capacity", "rate"), np.array(settings, float), criteria)
    try:
        return effects_table(measure_effects(table, "catboost")) + "\n"
    except ModuleNotFoundError as error:
        return f"{error}\n"


def main(results: Path, output: Path) -> None:
    """Write summary.json and summary.md."""
    ranks = Ranks([json.loads(line) for line in results.read_text().splitlines()])
    table, algorithms = algorithm_table(ranks)
    statements, verdicts = statements_table(ranks)
    found = correlations(ranks)
    write_json(output / "summary.json", {"algorithms": algorithms, "statements": verdicts, "correlations": found})
    listed = ", ".join(f"{kind} {value:+.2f}" for kind, value in found.items())
    text = f"{table}\n{statements}\nFidelity against controllability, rank correlation: {listed}\n\n{effects(ranks)}"
    write_text(output / "summary.md", text)
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else HERE / "results.jsonl", Path(sys.argv[2]) if sys.argv[2:] else HERE)
