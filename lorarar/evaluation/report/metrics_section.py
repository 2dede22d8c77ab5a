"""The section of a report with what `lorarar metrics` found on the same images."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorarar.datasets import Item, manifest_key
from lorarar.evaluation.report.html import Markup, element
from lorarar.evaluation.report.metric_names import FEATURE_METRICS, FLAGS
from lorarar.evaluation.report.numbers import show_estimate, show_number, show_rate, table
from lorarar.evaluation.statistics.bootstrap import Estimate
from lorarar.evaluation.statistics.proportions import Rate

FILE = "metrics.json"
LIMITATION = (
    "A similarity rewards whatever its encoder sees: one of styles rises when a style reference's content leaks in, "
    "one of contents when no style was applied. Read the two together with their harmonic mean and the flags."
)
_HASH_SHOWN = 12


def metrics_section(run: Path, items: Iterable[Item]) -> Markup | None:
    """Tables of a run's metrics; a warning where they are of other images; None where there are none."""
    if not (run / FILE).is_file():
        return None
    heading, data = element("h2", "Metrics"), json.loads((run / FILE).read_text(encoding="utf-8"))
    if data["manifest"] != manifest_key(items):
        text = f"{FILE} is about other images than were judged: run `lorarar metrics` anew."
        return element("section", heading, element("p", text, class_="banner warn"))
    seen = [(part, e["name"], e["resize"], e["sha256"][:_HASH_SHOWN]) for part, e in sorted(data["encoders"].items())]
    parts = [element("p", LIMITATION), *(_group(group, len(data["groups"]) > 1) for group in data["groups"])]
    parts.append(_missing(data["not_measured"]))
    parts.append(table(("part", "encoder", "resizing", "SHA-256 of its weights"), seen))
    return element("section", heading, *parts, *_refused(data["refused"]))


def _group(group: Mapping[str, Any], titled: bool) -> Markup:
    methods: Sequence[Mapping[str, Any]] = group["methods"]
    measured = [name for name in FEATURE_METRICS if any(method["scores"].get(name) for method in methods)]
    scores = [
        (m["method"], *(show_estimate(_estimate(m["scores"][name]), FEATURE_METRICS[name].form) for name in measured))
        for m in methods
    ]
    header = ("method", *(f"{FEATURE_METRICS[name].title} ({FEATURE_METRICS[name].better})" for name in measured))
    ranked = [
        (m["method"], *(show_number(m["ranks"].get(name, {}).get("overall")) for name in measured)) for m in methods
    ]
    flagged = [(m["method"], *(show_rate(Rate(**m["flags"][name])) for name in FLAGS)) for m in methods]
    explained = "; ".join(f"{name}: {text}" for name, text in FLAGS.items())
    return element(
        "div",
        *([element("h3", f"Prompt type: {group['prompt_type']}")] if titled else []),
        table(header, scores, caption=f"95 % intervals, resampling contents and styles, cover {group['covers']}."),
        table(header, ranked, caption="Mean ranks over pairs, classes, categories: 1 is the best method, 0 the worst."),
        table(("method", *FLAGS), flagged, caption=f"Share of flagged images. {explained}."),
    )


def _estimate(found: Mapping[str, float | None] | None) -> Estimate | None:
    if not found:
        return None
    mean, low, high = (math.nan if found[key] is None else float(found[key] or 0) for key in ("mean", "low", "high"))
    return Estimate(mean, low, high)


def _missing(reasons: Mapping[str, str]) -> Markup:
    if not reasons:
        return element("p", "Everything was measured.")
    rows = [(FEATURE_METRICS[name].title, reason) for name, reason in sorted(reasons.items())]
    return table(("not measured", "why"), rows)


def _refused(refused: Mapping[str, Mapping[str, str]]) -> list[Markup]:
    rows = [(kind, name, reason) for kind, found in sorted(refused.items()) for name, reason in sorted(found.items())]
    return [table(("refused", "which", "why"), rows)] if rows else []
