"""lorarar.workflows.score: which metrics are measured where nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.evaluation.metrics.settings import MetricsConfig
from lorarar.workflows import score
from tests.evaluation.judge.sample import LAYOUT, write_images, write_references


class _MeasuredError(Exception):
    """Ends the run where the metrics begin."""


@pytest.mark.parametrize(("backend", "encoder"), [("tiny", "tower"), ("mock:truth", "clip")])
def test_the_metrics_are_those_that_suit_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, encoder: str
) -> None:
    measured: list[MetricsConfig] = []

    def measure(config: MetricsConfig) -> str:
        measured.append(config)
        raise _MeasuredError

    monkeypatch.setattr(score, "run_metrics", measure)
    images, references = write_images(tmp_path), write_references(tmp_path)
    with pytest.raises(_MeasuredError):
        score.run_score(images, references, tmp_path / "run", layout=LAYOUT, backend=backend, device="cpu")
    (config,) = measured
    assert (config.style.name, config.images, config.output) == (encoder, images, tmp_path / "run")
    assert (config.layout, config.device) == (None, "cpu")
