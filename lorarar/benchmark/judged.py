"""Judged scores: a judge's scores of the images of methods, beside the attribute classifier's scores."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lorarar.benchmark.embedded import Embedded
from lorarar.benchmark.methods import MethodResult
from lorarar.datasets import save_image
from lorarar.evaluation.judge import judge_folder, plan_run
from lorarar.evaluation.judge.compare import MethodScores
from lorarar.evaluation.statistics import Estimate

JUDGED_LAYOUT = "{method}/{content}+{style}/{seed}.png"
JudgedMetric = Literal["content", "style", "mars2"]


@dataclass(frozen=True)
class JudgedScores:
    """A method's shares of images that pass, with 95 % intervals (low, high); None where nothing is decided."""

    content: float | None
    content_interval: tuple[float, float] | None
    style: float | None
    style_interval: tuple[float, float] | None
    mars2: float | None
    mars2_interval: tuple[float, float] | None

    def estimate(self, metric: JudgedMetric) -> Estimate:
        """Return a score with its interval.

        Raises:
            ValueError: The judge decided no image.
        """
        mean, interval = getattr(self, metric), getattr(self, f"{metric}_interval")
        if mean is None or interval is None:
            raise ValueError(f"expected decided images for {metric}, found none: see the judge's report")
        return Estimate(mean, *interval)


@dataclass(frozen=True)
class CalibrationVerdict:
    """Whether the judge passed its calibration, and why not."""

    verdict: Literal["passed", "failed"]
    reasons: Sequence[str]


@dataclass(frozen=True)
class JudgeRecord:
    """Scores of a judge.

    Attributes:
        calibration: The calibration of the judge.
        report: Path of the report, a web page.
        methods: Scores by method.
    """

    calibration: CalibrationVerdict
    report: str
    methods: Mapping[str, JudgedScores]


def judge_methods(
    embedded: Embedded, split: str, results: Mapping[str, MethodResult], folder: Path, *, data: Path
) -> JudgeRecord:
    """Judge every image of every method with the embedded judge, and report its calibration.

    Args:
        split: The split of the results' pairs.
        folder: Folder for images/ and judge/ with report.html; results of an earlier run there are replaced.
        data: The embedded default, whose reference images are used.
    """
    images, run = folder / "images", folder / "judge"
    for old in (images, run):
        shutil.rmtree(old, ignore_errors=True)
    for method, result in results.items():
        for pair, pair_images in zip(embedded.pairs(split), result.scored.images, strict=True):
            place = images / method / f"{pair.content.name}+{pair.style.name}"
            place.mkdir(parents=True)
            for seed, image in enumerate(pair_images):
                save_image(image, place / f"{seed}.png")
    references = data / "concepts.yaml"
    plan_run(run, images, references, layout=JUDGED_LAYOUT, reference_root=data / "images", splits="embedded")
    return judge_planned(run, "tiny", device="cpu")


def judge_planned(run: Path, backend: str, cache: Path | None = None, *, device: str = "auto") -> JudgeRecord:
    """Let a judge answer what was planned in a folder, and write its report there.

    Args:
        cache: Folder of replies that runs share; None shares none.
        device: Of a judge in this process, a name for `lorarar.lora.pick_device`.

    Raises:
        ValueError: The rubric compares images in pairs, which gives no scores.
    """
    report = judge_folder(run, backend, uncalibrated=True, cache=cache, device=device)
    if report.results is None:
        raise ValueError("expected a rubric with scores, found a pairwise one: plan the run with another rubric")
    gate = report.judged.gate
    return JudgeRecord(
        CalibrationVerdict("passed" if gate and gate.passed else "failed", list(gate.reasons) if gate else []),
        str(report.page),
        {method.method: _judged_scores(method) for method in report.results.groups[0].methods},
    )


def _judged_scores(method: MethodScores) -> JudgedScores:
    values: dict[str, Any] = {}
    for metric in ("content", "style", "mars2"):
        estimate = method.scores[metric].estimate
        values[metric] = round(estimate.mean, 4) if estimate else None
        values[f"{metric}_interval"] = (round(estimate.low, 4), round(estimate.high, 4)) if estimate else None
    return JudgedScores(**values)
