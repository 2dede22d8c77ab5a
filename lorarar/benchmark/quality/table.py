"""The results as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = ("method", "content", "style", "joint", "strict", "best minus this, joint", "tried", "ms a pair", "MB", "judge")


def results_table(record: Mapping[str, Any], times: Mapping[str, Mapping[str, float]]) -> str:
    """One row a method, the best joint score first; in bold what cannot be told from the best."""
    gains = {found["second"]: found for found in record.get("best_minus", {}).get("joint", ())}
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    rows = sorted(record["methods"].items(), key=lambda row: -row[1]["joint"]["mean"])
    for name, row in rows:
        shown = f"**{name}**" if name in record["tied_with_the_best"] else name
        if row.get("joint_of_training_seeds"):
            shown += f" ({', '.join(f'{mean:.3f}' for mean in row['joint_of_training_seeds'])})"
        cells = [f"{row['content']['mean']:.3f}", f"{row['style']['mean']:.3f}"]
        cells += [interval(row[metric]) if metric in row else "" for metric in ("joint", "strict")]
        cells += [interval(gains[name], "+") if name in gains else "", str(len(row["tried"]) or "")]
        taken = times.get(name)
        cells += [f"{taken['merge_seconds'] * 1000:.1f}", f"{taken['extra_bytes'] / 1e6:.0f}"] if taken else ["", ""]
        judged = record.get("judge", {}).get("methods", {}).get(name)
        cells.append(f"{judged['mars2']:.3f}" if judged and judged["mars2"] is not None else "")
        lines.append(f"| {' | '.join([shown, *cells])} |")
    return "\n".join(lines) + "\n"


def interval(estimate: Mapping[str, float], sign: str = "") -> str:
    """A mean and its interval: "0.854 [0.785, 0.910]"."""
    return f"{estimate['mean']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"
