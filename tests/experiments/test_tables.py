"""experiments/tables.py: the tables of the README and of docs/results are those of the results."""

from __future__ import annotations

import sys

import pytest

from tests import ROOT

sys.path.insert(0, str(ROOT / "experiments"))
tables = __import__("tables")


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.stem)
def test_tables_of_the_pages_are_those_of_the_results(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<!-- " in text
    assert tables.filled(text) == text


def test_a_wrong_number_is_found() -> None:
    text = "<!-- rows -->\n| **our network** | 2.0 |\n<!-- /rows -->\ntakes <!-- ratio -->1<!-- /ratio --> times"
    assert "| **our network** | 1.6 | 0.94\u00a0[0.79,\u00a00.99] |" in tables.filled(text)
    assert "takes <!-- ratio -->1,747<!-- /ratio --> times" in tables.filled(text)
    assert tables.filled("<!-- other -->\n1\n<!-- /other -->") == "<!-- other -->\n1\n<!-- /other -->"


def test_the_check_of_the_pages_fails(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- zoo -->\nold\n<!-- /zoo -->\n")
    monkeypatch.setattr(tables, "PAGES", (page,))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    with pytest.raises(SystemExit, match="found others in page.md: run experiments/tables.py"):
        tables.main()
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    tables.main()
    assert "| 4 | 16 | 2.5 |" in page.read_text()
