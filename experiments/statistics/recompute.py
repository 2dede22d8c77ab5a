"""Recompute intervals, p-values and verdicts of the quality results from their raw scores, and print what changed.

python experiments/statistics/recompute.py            # write results.json, table.md and pareto.png
python experiments/statistics/recompute.py --check    # print only

The raw scores are means over training seeds, and the joint score of an image is the smaller of its content and style
score for each training seed. So the joint scores of a row are known only if the mean of the smaller of the two means is
the row's joint score: the one is never above the other, so they then agree at every image. A row where they do not
agree keeps its interval on "joint", and its comparisons keep theirs; their p-values take the smaller of the two means.
The intervals of the judge have no raw scores and stay as they were. "recomputed" in results.json says all this.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lorarar.benchmark.quality.comparison import RowComparison, compare_rows
from lorarar.benchmark.quality.drawing import draw_pareto
from lorarar.benchmark.quality.results import MergeCost, QualityResults, RowResult
from lorarar.benchmark.quality.table import results_table
from lorarar.evaluation.statistics import Estimate, crossed_interval, tied_set

EXPERIMENTS = Path(__file__).parents[1]
FOLDERS = (
    "main",
    "ablations",
    "ablations/mixed",
    "ablations/normalised",
    "any_width/transformer",
    "any_width/wide",
)
METRICS = ("content", "style", "joint", "strict")
STEPS = 12  # raw scores are quarters, or means of three quarters, rounded to four digits
METHOD = "Student's t over contents, styles and seeds (lorarar.evaluation.statistics.intervals)"


def scores_of(raw: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the scores (contents, styles, seeds) of a row without their rounding."""
    scores = {metric: np.round(np.array(raw[metric]) * STEPS) / STEPS for metric in ("content", "style", "strict")}
    if any(np.abs(scores[metric] - np.array(raw[metric])).max() > 6e-5 for metric in scores):
        raise SystemExit(f"expected scores in steps of 1/{STEPS}, found others: the rounding cannot be undone")
    return {**scores, "joint": np.minimum(scores["content"], scores["style"])}


def rounded(estimate: Estimate) -> dict[str, float]:
    return {key: round(value, 6) for key, value in asdict(estimate).items()}


def compared(metric: str, old: list[dict[str, Any]], scores: Any, kept: set[str]) -> list[dict[str, Any]]:
    """Return comparisons made anew; those with a row whose scores are not known keep their interval."""
    pairs = [(each["first"], each["second"]) for each in old]
    new = compare_rows({name: of_metric[metric] for name, of_metric in scores.items()}, pairs)
    for number, (before, pair) in enumerate(zip(old, pairs, strict=True)):
        if metric == "joint" and kept & set(pair):
            bounds = {key: before[key] for key in ("mean", "low", "high")}
            differs = new[number].p_holm < 0.05 and Estimate(**bounds).excludes_zero()
            new[number] = replace(new[number], **bounds, differs=differs)
    return [asdict(each) for each in new]


def recompute(results: dict[str, Any]) -> dict[str, Any]:
    """Return results with intervals, p-values and verdicts made anew."""
    scores = {name: scores_of(raw) for name, raw in results["raw"].items()}
    means = {name: method["joint"]["mean"] for name, method in results["methods"].items()}
    kept = {name for name, mean in means.items() if abs(scores[name]["joint"].mean() - mean) > 1e-6}
    methods = {}
    for name, method in results["methods"].items():
        estimates = {metric: rounded(crossed_interval(scores[name][metric], shares=True)) for metric in METRICS}
        if name in kept:
            del estimates["joint"]
        methods[name] = method | estimates
        if any(abs(methods[name][metric]["mean"] - method[metric]["mean"]) > 2e-6 for metric in METRICS):
            raise SystemExit(f"expected the means of {name} to stay, found others: the raw scores are not its own")
    new = results | {"methods": methods}
    for part in ("best_minus", "compared"):
        new[part] = {metric: compared(metric, each, scores, kept) for metric, each in results[part].items()}
    differs = {frozenset((each["first"], each["second"])): each["differs"] for each in new["best_minus"]["joint"]}
    competing = {results["best"], *(each["second"] for each in new["best_minus"]["joint"])}
    new["tied_with_the_best"] = list(tied_set({name: means[name] for name in competing}, differs))
    new["recomputed"] = {
        "by": "experiments/statistics/recompute.py",
        "date": results.get("recomputed", {}).get("date", date.today().isoformat()),
        "intervals": METHOD,
        "joint_interval_kept": sorted(kept),
        "judge_intervals": "kept: percentile bootstrap of contents and styles; no raw verdicts in this file",
    }
    return new


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the verdicts that differ between two results."""
    lines = []
    for part in ("best_minus", "compared"):
        for metric, comparisons in new[part].items():
            for before, after in zip(old[part][metric], comparisons, strict=True):
                if before["differs"] != after["differs"]:
                    verdict = "differs now" if after["differs"] else "no longer differs"
                    names = f"{part}, {metric}: {after['first']} minus {after['second']}"
                    lines.append(f"{names} {verdict}: {shown(before)} -> {shown(after)}")
    for name in sorted({*old["tied_with_the_best"]} ^ {*new["tied_with_the_best"]}):
        lines.append(f"tied with the best {'now' if name in new['tied_with_the_best'] else 'no longer'}: {name}")
    return lines


def shown(comparison: dict[str, Any]) -> str:
    return "{mean:+.3f} [{low:+.3f}, {high:+.3f}], p {p_holm:.3f}".format(**comparison)


def typed(results: dict[str, Any]) -> QualityResults:
    """Return the results as the benchmark's own records, for its table and its plot."""
    methods = {
        name: RowResult(**{key: Estimate(**value) if key in METRICS else value for key, value in method.items()})
        for name, method in results["methods"].items()
    }
    best_minus = {
        metric: [RowComparison(**each) for each in comparisons] for metric, comparisons in results["best_minus"].items()
    }
    return QualityResults(results["pairs"], methods, results["best"], results["tied_with_the_best"], best_minus)


def main() -> None:
    """Recompute every folder."""
    for name in FOLDERS:
        folder = EXPERIMENTS / name
        old = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        new = recompute(old)
        print(f"{name}: joint intervals kept: {', '.join(new['recomputed']['joint_interval_kept']) or 'none'}")
        print("\n".join(f"  {line}" for line in changes(old, new)) or "  no verdict changes")
        times = {row: MergeCost(**cost) for row, cost in json.loads((folder / "times.json").read_text()).items()}
        judged = old["judge"] and SimpleNamespace(
            methods={row: SimpleNamespace(**scores) for row, scores in old["judge"]["methods"].items()}
        )
        if "recomputed" not in old and results_table(typed(old), times, judged) != (folder / "table.md").read_text():
            raise SystemExit(f"expected table.md of {name} to follow from its results, found another")
        if "--check" not in sys.argv[1:]:
            (folder / "results.json").write_text(json.dumps(new), encoding="utf-8")
            (folder / "table.md").write_text(results_table(typed(new), times, judged), encoding="utf-8")
            if (folder / "pareto.png").exists():
                draw_pareto(typed(new), times, folder / "pareto.png")


if __name__ == "__main__":
    main()
