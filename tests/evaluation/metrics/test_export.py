"""Files of a measurement hold its numbers, and names cannot become markup."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from lorarar.evaluation.metrics.encoders.loading import load_encoder
from lorarar.evaluation.metrics.export import Measurement, write_measurement
from lorarar.evaluation.report.flag_names import FLAGS


def test_files_hold_what_was_measured(measurement: Measurement, tmp_path: Path) -> None:
    summary = write_measurement(tmp_path / "new", measurement)
    assert str(tmp_path / "new" / "metrics.md") in summary
    data = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert data["encoders"]["style"] == {"name": "pixels", "sha256": load_encoder("pixels").sha256, "resize": "scale"}
    assert data["groups"][0]["methods"][0]["rank_scores"] == {}
    assert data["not_measured"] == {}
    rows = list(csv.DictReader((tmp_path / "new" / "metrics.csv").read_text().splitlines()))
    assert len(rows) == len(measurement.images)
    for row, image in zip(rows, measurement.images, strict=True):
        assert float(row["content_cosine"]) == image.values["content_cosine"]
        assert [int(row[name]) for name in FLAGS] == [image.flags[name] for name in FLAGS]
    encoders = measurement.describe_encoders()
    assert encoders.startswith(f"content, gram: tower ({load_encoder('tower').sha256[:8]}); style: pixels (")
    assert {row["encoders"] for row in rows} == {encoders}
    assert encoders in summary
    assert (data["cut_prompts"], data["notes"], data["unlike"]["tower"]["images"]["of"]) == (0, [], 72)
    text = (tmp_path / "new" / "metrics.md").read_text()
    assert f"Encoders: {encoders}." in text
    assert "rank score, 1 is best" in text
    right = measurement.groups[0].methods[2].scores["harmonic"]
    assert right is not None
    assert f"{right.mean:.3f} [{right.low:.3f}, {right.high:.3f}]" in text
    picture = (tmp_path / "new" / "metrics_combined.svg").read_text()
    assert all(f">{method.method}<" in picture for method in measurement.groups[0].methods)


def test_equal_measurements_give_equal_files(measurement: Measurement, tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_measurement(tmp_path / name, measurement)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["metrics.csv", "metrics.json", "metrics.md", "metrics_combined.svg"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_names_do_not_become_markup(measurement: Measurement, tmp_path: Path) -> None:
    evil = "=1|<script>x</script>"
    (group,) = measurement.groups
    methods = [replace(method, method=evil) for method in group.methods]
    first = measurement.images[0]
    renamed = [replace(first, item=replace(first.item, method=evil)), *measurement.images[1:]]
    write_measurement(tmp_path, replace(measurement, groups=[replace(group, methods=methods)], images=renamed))
    assert "<script" not in (tmp_path / "metrics.md").read_text() + (tmp_path / "metrics_combined.svg").read_text()
    assert r"=1\|&lt;script>" in (tmp_path / "metrics.md").read_text()
    assert f"'{evil}" in (tmp_path / "metrics.csv").read_text()
