"""Table of the results in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from lorarar.benchmark.judged import JudgeRecord
from lorarar.benchmark.quality.comparison import RowComparison
from lorarar.benchmark.quality.results import MergeCost, QualityResults
from lorarar.evaluation.statistics import Estimate

_HEAD = ("method", "content", "style", "joint", "strict", "best minus this, joint", "tried", "ms a pair", "MB", "judge")


def results_table(results: QualityResults, times: Mapping[str, MergeCost], judged: JudgeRecord | None) -> str:
    """Return one line per method, the best joint score first; methods tied with the best are bold."""
    lines = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
    names = sorted(results.methods, key=lambda name: -results.methods[name].joint.mean)
    lines += [f"| {' | '.join(_cells(name, results, times.get(name), judged))} |" for name in names]
    return "\n".join(lines) + "\n"


def _cells(name: str, results: QualityResults, cost: MergeCost | None, judged: JudgeRecord | None) -> list[str]:
    row = results.methods[name]
    label = f"**{name}**" if name in results.tied_with_the_best else name
    if row.joint_of_training_seeds:
        label += f" ({', '.join(f'{mean:.3f}' for mean in row.joint_of_training_seeds)})"
    gain = next((each for each in results.best_minus.get("joint", ()) if each.second == name), None)
    mars2 = judged.methods[name].mars2 if judged else None
    return [
        label,
        f"{row.content.mean:.3f}",
        f"{row.style.mean:.3f}",
        interval_text(row.joint),
        interval_text(row.strict) if row.strict else "",
        _gain_text(gain, results.equivalence_margin) if gain else "",
        str(len(row.tried) or ""),
        f"{cost.merge_seconds * 1000:.1f}" if cost else "",
        f"{cost.extra_bytes / 1e6:.0f}" if cost else "",
        "" if mars2 is None else f"{mars2:.3f}",
    ]


def _gain_text(gain: RowComparison, margin: float | None) -> str:
    """Return a difference and its interval, and whether it lies within the margin: "equivalent within 0.03"."""
    return interval_text(gain, "+") + (f", equivalent within {margin:g}" if gain.equivalent else "")


def interval_text(estimate: Estimate | RowComparison, sign: str = "") -> str:
    """Return a mean and its interval: "0.854 [0.785, 0.910]"."""
    return f"{estimate.mean:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
