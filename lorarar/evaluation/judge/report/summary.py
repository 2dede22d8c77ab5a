"""Summary of a run: the judge, its trust, the ranking of the methods and the plot of their scores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES
from lorarar.evaluation.judge.compare.results import MethodScores, Results, ScoreGroup
from lorarar.evaluation.judge.records import Reply
from lorarar.evaluation.judge.report.tables import by_rank
from lorarar.evaluation.judge.trust.gate import CalibrationGate
from lorarar.evaluation.report.interval_plots import IntervalPlot, plot_intervals
from lorarar.evaluation.report.tables import ReportTable, show_estimate, show_number
from lorarar.evaluation.statistics.proportions import Rate

SHOWN = {"mars2": "right on both axes", "content": "content", "style": "style"}
_NAMES = ("name", "backend", "model", "served", "url", "revision", "dtype", "device")  # of a judge, in this order
_HASH_LENGTH = 19  # of "sha256:" and a hash


@dataclass(frozen=True)
class Summary:
    """The top of a report.

    Attributes:
        conclusion: What the tests say about the methods, in a sentence or two.
    """

    conclusion: str
    ranking: ReportTable
    plot: IntervalPlot


def summarise_results(results: Results) -> Summary:
    """Rank the methods by MARS2 over all images."""
    group = results.groups[0]
    methods = sorted(group.methods, key=by_rank)
    tied = group.tied.get("mars2", ())
    rows = [(m.method, show_estimate(m.scores["mars2"].estimate), *_means(m), _standing(m, tied)) for m in methods]
    note = f"Means with 95 % intervals over contents, styles and seeds, from {group.covers}."
    plotted = {m.method: {title: m.scores[metric].estimate for metric, title in SHOWN.items()} for m in methods}
    return Summary(
        _conclude(group, methods),
        ReportTable(("method", "both axes", *AXES, "against the best"), rows, note, tied),
        plot_intervals("Share of images", plotted, limits=(0.0, 1.0)),
    )


def describe_trust(gate: CalibrationGate) -> str:
    """Describe in one line how a judge answered its calibration."""
    parts = []
    for axis in AXES:
        found = gate.axes[axis]
        parts.append(f"{axis}: yes to {_percent(found.sensitivity)} of the right images, "
                     f"no to {_percent(found.specificity)} of the wrong ones")  # fmt: skip
    accepted = Rate(*(sum(getattr(gate.axes[axis].false_accepts, part) for axis in AXES) for part in _RATE))
    return f"{'; '.join(parts)}; accepts {_percent(accepted)} of blanks, noise and cards"


_RATE = ("successes", "total")


def run_facts(
    images: int, rubric: str, identity: Mapping[str, Any], version: str, replies: Iterable[Reply]
) -> list[tuple[str, str]]:
    """List the judge, the versions, and what the run took, as pairs of a name and a text.

    Args:
        identity: Of the judge's back end.
        version: Of this package.
        replies: To the questions of this run, including the calibration.
    """
    tokens: Counter[str] = Counter()
    seconds, answers = 0.0, 0
    for reply in replies:
        answers += not reply.failure
        seconds += reply.seconds
        tokens.update(reply.usage)
    total = tokens["total_tokens"] or tokens["prompt_tokens"] + tokens["completion_tokens"]
    names = [_short_name(str(identity[name])) for name in _NAMES if identity.get(name)]
    return [
        ("judge", " ".join(dict.fromkeys(names)) or json.dumps(dict(identity), sort_keys=True, default=str)),
        ("lorarar", version),
        ("rubric", rubric),
        ("images", f"{images:,}"),
        ("replies", f"{answers:,}"),
        ("tokens", f"{total:,}" if total else "not reported"),
        ("time of the calls", _duration(seconds) if seconds else "not reported"),
    ]


def _short_name(text: str) -> str:
    """Shorten a hash, and an absolute path to its last part: reports are shared."""
    return text[:_HASH_LENGTH] if text.startswith("sha256:") else Path(text).name if text.startswith("/") else text


def _means(method: MethodScores) -> list[str]:
    estimates = [method.scores[axis].estimate for axis in AXES]
    return [show_number(estimate.mean if estimate else None) for estimate in estimates]


def _standing(method: MethodScores, tied: tuple[str, ...]) -> str:
    if method.scores["mars2"].estimate is None:
        return "undecided"
    if method.method not in tied:
        return "below"
    return "best" if method.method == tied[0] else "not told apart"


def _conclude(group: ScoreGroup, methods: list[MethodScores]) -> str:
    tied = group.tied.get("mars2", ())
    if not tied:
        return "No image is decided, so the methods have no scores."
    if len(methods) == 1:
        return "There is one method, so nothing is compared."
    if len(tied) == 1:
        return f"{tied[0]} is best: the tests tell every other method from it."
    others = "any other method" if len(tied) == len(methods) else ", ".join(tied[1:])
    return (
        f"{tied[0]} has the highest share, but the tests do not tell {others} from it (starred). "
        "That a difference was not found does not mean that there is none."
    )


def _percent(rate: Rate) -> str:
    return f"{rate.value:.0%}" if rate.total else "none asked"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "below 1 s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
