"""The embedded judge's scores of images that methods made, beside the attribute reader's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorarar.benchmark.embedded import Embedded
from lorarar.benchmark.methods import Result
from lorarar.datasets import save_image
from lorarar.evaluation.judge import judge_by_name, plan_run, report_run
from lorarar.evaluation.judge.ask import read_setup

LAYOUT = "{method}/{content}+{style}/{seed}.png"
_METRICS = ("content", "style", "mars2")


def judge_methods(
    embedded: Embedded, split: str, results: Mapping[str, Result], folder: Path, *, data: Path
) -> dict[str, Any]:
    """Judges every image of every method with the embedded judge, whose calibration is always shown.

    Args:
        split: whose pairs the results are of.
        folder: gets images/ and judge/ with report.html; what lies there of an earlier run is replaced.
        data: the embedded default, whose reference images and judge are used.

    Returns:
        "calibration" ("passed" or "failed", and why), "report" (the page) and "methods": for each its MARS2 share
        and both axes' with 95 % intervals.
    """
    images, run = folder / "images", folder / "judge"
    for old in (images, run):
        shutil.rmtree(old, ignore_errors=True)
    for method, result in results.items():
        for pair, made in zip(embedded.pairs(split), result.scored.images, strict=True):
            place = images / method / f"{pair.content.name}+{pair.style.name}"
            place.mkdir(parents=True)
            for seed, image in enumerate(made):
                save_image(image, place / f"{seed}.png")
    plan_run(run, images, data / "concepts.yaml", layout=LAYOUT, reference_root=data / "images", splits="embedded")
    return judge_planned(run, "tiny")


def judge_planned(run: Path, backend: str, cache: Path | None = None) -> dict[str, Any]:
    """Asks a judge what was planned in a folder, writes its report there and returns `judge_methods`'s record.

    Args:
        cache: a folder of replies that runs share.
    """
    judge_by_name(run, read_setup(run), backend, uncalibrated=True, cache=cache)
    judged, page = report_run(run, read_setup(run))
    found = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return {
        "calibration": {
            "verdict": "passed" if judged.gate and judged.gate.passed else "failed",
            "reasons": list(judged.gate.reasons) if judged.gate else [],
        },
        "report": str(page),
        "methods": {method["method"]: _scores(method) for method in found["results"]["groups"][0]["methods"]},
    }


def _scores(method: Mapping[str, Any]) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for metric in _METRICS:
        estimate = method["scores"][metric]["estimate"]
        scores[metric] = estimate and round(estimate["mean"], 4)
        scores[f"{metric}_interval"] = estimate and [round(estimate["low"], 4), round(estimate["high"], 4)]
    return scores
