"""The report's section with the metrics of the same images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.datasets.manifest import lock_items
from lorarar.datasets.records import Item
from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement, write_measurement
from lorarar.evaluation.metrics.run import measure_metrics
from lorarar.evaluation.report.metrics_section import read_metrics_section
from lorarar.evaluation.report.pages import render_page
from tests.evaluation.judge.report.test_page import EVIL, Page, Run
from tests.evaluation.judge.synthetic import make_items
from tests.evaluation.metrics.toy import FAULTS, write_items, write_references


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def measured(folder: Path) -> Measurement:
    references, items = write_references(folder), write_items(folder, FAULTS, seeds=1)
    pixels = load_encoder("pixels")
    return measure_metrics(items, references, folder / "images", Encoders(pixels, pixels, pixels))


def section(folder: Path, items: Sequence[Item]) -> str:
    content = read_metrics_section(folder, items)
    assert content is not None
    return render_page("metrics_section.html.jinja", metrics=content)


def shown(measured: Measurement, folder: Path) -> str:
    write_measurement(folder, measured)
    page = Page(section(folder, measured.items))
    page.check()
    return " ".join(page.text)


def test_the_section_shows_what_was_measured(measured: Measurement, folder: Path) -> None:
    text = shown(measured, folder / "run")
    results = measured.groups[0].methods[1]
    for metric, form in (("content_cosine", ".3f"), ("style_gram", ".4g")):
        score = results.scores[metric]
        assert score is not None
        assert f"{score.mean:{form}} [{score.low:{form}}, {score.high:{form}}]" in text
    assert f"{results.rank_scores['harmonic'].overall:.3f}" in text
    assert f"({results.flags['copy'].successes} of 9)" in text
    assert "the configuration names no text encoder" in text
    assert measured.encoders["gram"].sha256[:12] in text
    assert "Prompt type" not in text  # there is one


def test_there_is_no_section_without_metrics_and_a_warning_with_those_of_other_images(
    measured: Measurement, folder: Path
) -> None:
    assert read_metrics_section(folder, measured.items) is None
    write_measurement(folder / "old", measured)
    changed = [replace(measured.items[0], sha256="0" * 64), *measured.items[1:]]
    text = section(folder / "old", changed)
    assert "about other images than the judged ones" in text
    assert "<table" not in text
    assert "<table" in section(folder / "old", list(reversed(measured.items)))
    data = json.loads((folder / "old" / "metrics.json").read_text())
    del data["notes"]  # an earlier version, whose rank scores had another name
    (folder / "old" / "metrics.json").write_text(json.dumps(data))
    assert "of an earlier version: run `lorarar metrics` again" in section(folder / "old", measured.items)


def test_refused_images_and_hostile_names_are_shown_as_they_are(measured: Measurement, folder: Path) -> None:
    groups = [replace(g, methods=[replace(m, method=EVIL) for m in g.methods]) for g in measured.groups]
    text = shown(replace(measured, groups=groups, refused={"image": {EVIL: EVIL}, "reference": {}}), folder / "evil")
    assert text.count(EVIL) >= 5


def test_a_judges_report_has_the_section_when_both_were_run(tmp_path: Path, measured: Measurement) -> None:
    run = Run(tmp_path, make_items(["ours", "theirs"], 2, 2, 1))
    assert "Metrics" not in Page(run.write()).text
    run.items = lock_items(run.items, tmp_path / "images")
    write_measurement(tmp_path / "run", replace(measured, items=run.items))
    page = Page(run.write())
    page.check()
    assert page.text.count("Metrics") == 1
    assert "content fidelity, cosine (up)" in page.text
    data = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert data["images"] == 27
