"""experiments/reports: every public report has a case, a verdict that holds, and a row in the table."""

from __future__ import annotations

import json

import pytest
import yaml

from tests import ROOT

FOLDER = ROOT / "experiments" / "reports"


def test_every_report_has_a_case_and_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    reports = yaml.safe_load((FOLDER / "reports.yaml").read_text(encoding="utf-8"))
    module = __import__("reports")
    ids = [report["id"] for report in reports]
    assert len(ids) >= 20
    assert ids == sorted(set(ids), key=ids.index)
    assert set(ids) == set(module.LORA_CASES | module.OTHER_CASES)
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["verdicts"]
    assert {name for name in ids if results[name]["verdict"] not in module.GOOD} == set()
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [report["id"] for report in reports if f"[{report['id']}]({report['url']})" not in page] == []
