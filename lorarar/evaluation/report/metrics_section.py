"""Metrics section: the part of a judge's report with the results of `lorarar metrics` on the same images."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import Item, manifest_key
from lorarar.evaluation.report.flag_names import FLAGS
from lorarar.evaluation.report.interval_plots import IntervalPlot, plot_intervals
from lorarar.evaluation.report.tables import ReportTable, show_estimate, show_number, show_rate
from lorarar.evaluation.statistics.intervals import Estimate
from lorarar.evaluation.statistics.proportions import Rate

METRICS_FILE = "metrics.json"
METRICS_LIMITATION = (
    "A similarity rewards whatever its encoder sees: a style similarity rises when a style reference's content leaks "
    "in, a content similarity when no style was applied. Read the two together with their harmonic mean and the flags."
)
_HASH_LENGTH = 12  # of a hash in the table
_Definitions = Mapping[str, Mapping[str, str]]  # metric -> its title, direction and number format
_NO_ROWS = ReportTable((), ())


@dataclass(frozen=True)
class MetricsGroup:
    """The plots and tables of one prompt type."""

    prompt_type: str
    plots: tuple[IntervalPlot, ...]
    tables: tuple[ReportTable, ...]


@dataclass(frozen=True)
class MetricsSection:
    """The content of the section.

    Attributes:
        warning: The reason why the metrics are not shown, "" when they are.
        notes: What limits the numbers, such as images unlike those that an encoder knows.
        missing: Metrics that were not measured, with the reasons.
        refused: Images that were refused, with the reasons.
    """

    warning: str = ""
    limitation: str = METRICS_LIMITATION
    notes: tuple[str, ...] = ()
    groups: tuple[MetricsGroup, ...] = ()
    missing: ReportTable = _NO_ROWS
    encoders: ReportTable = _NO_ROWS
    refused: ReportTable = _NO_ROWS


def read_metrics_section(run: Path, items: Iterable[Item]) -> MetricsSection | None:
    """Read the metrics of a run's folder.

    Args:
        items: The judged images; metrics of other images are replaced by a warning.

    Returns:
        The section's content; None where the folder has no metrics.
    """
    if not (run / METRICS_FILE).is_file():
        return None
    data = json.loads((run / METRICS_FILE).read_text(encoding="utf-8"))
    if data["manifest"] != manifest_key(items):
        return MetricsSection(
            f"{METRICS_FILE} is about other images than the judged ones: run `lorarar metrics` again."
        )
    definitions = {metric["name"]: metric for metric in data.get("metrics", ())}
    if not definitions or "notes" not in data:
        return MetricsSection(f"{METRICS_FILE} is of an earlier version: run `lorarar metrics` again.")
    encoders = [
        (part, encoder["name"], encoder["resize"], encoder["sha256"][:_HASH_LENGTH])
        for part, encoder in sorted(data["encoders"].items())
    ]
    return MetricsSection(
        groups=tuple(
            MetricsGroup(group["prompt_type"], _plots(group, definitions), _tables(group, definitions))
            for group in data["groups"]
        ),
        notes=tuple(data["notes"]),
        missing=_missing(data["not_measured"], definitions),
        encoders=ReportTable(("part", "encoder", "resizing", "SHA-256 of its weights"), encoders),
        refused=_refused(data["refused"]),
    )


def _tables(group: Mapping[str, Any], definitions: _Definitions) -> tuple[ReportTable, ...]:
    methods: Sequence[Mapping[str, Any]] = group["methods"]
    measured = [name for name in definitions if any(method["scores"].get(name) for method in methods)]
    header = ("method", *(f"{definitions[name]['title']} ({definitions[name]['better']})" for name in measured))
    scores, ranks, flags = [], [], []
    for method in methods:
        shown = [show_estimate(_estimate(method["scores"][name]), definitions[name]["form"]) for name in measured]
        scores.append((method["method"], *shown))
        overall = [method["rank_scores"].get(name, {}).get("overall") for name in measured]
        ranks.append((method["method"], *map(show_number, overall)))
        flags.append((method["method"], *(show_rate(Rate(**method["flags"][name])) for name in FLAGS)))
    explained = "; ".join(f"{name}: {text}" for name, text in FLAGS.items())
    ranking = (
        "Rank scores: ranks within each pair, averaged over pairs, classes, categories; 1 is the best method, 0 the "
        "worst."
    )
    return (
        ReportTable(header, scores, f"95 % intervals, over contents, styles and seeds, cover {group['covers']}."),
        ReportTable(header, ranks, ranking),
        ReportTable(("method", *FLAGS), flags, f"Share of flagged images. {explained}."),
    )


def _plots(group: Mapping[str, Any], definitions: _Definitions) -> tuple[IntervalPlot, ...]:
    plots = []
    for name, metric in definitions.items():
        rows = {m["method"]: {metric["title"]: _estimate(m["scores"].get(name))} for m in group["methods"]}
        if any(estimate for row in rows.values() for estimate in row.values()):
            better = "higher is better" if metric["better"] == "up" else "lower is better"
            plots.append(plot_intervals(metric["title"], rows, form=metric["form"], better=better))
    return tuple(plots)


def _estimate(score: Mapping[str, float | None] | None) -> Estimate | None:
    if not score:
        return None
    mean, low, high = (math.nan if score[key] is None else float(score[key] or 0.0) for key in ("mean", "low", "high"))
    return Estimate(mean, low, high)


def _missing(reasons: Mapping[str, str], definitions: _Definitions) -> ReportTable:
    rows = [(definitions[name]["title"], reason) for name, reason in sorted(reasons.items())]
    return ReportTable(("not measured", "reason"), rows)


def _refused(refused: Mapping[str, Mapping[str, str]]) -> ReportTable:
    rows = [
        (kind, path, reason) for kind, reasons in sorted(refused.items()) for path, reason in sorted(reasons.items())
    ]
    return ReportTable(("refused", "which", "reason"), rows)
