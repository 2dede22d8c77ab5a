"""lorarar.evaluation.report.pages: all text is escaped, and a page forbids everything from elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

import pytest
from jinja2 import Environment, PackageLoader, UndefinedError

from lorarar.evaluation.report.metrics_section import MetricsSection
from lorarar.evaluation.report.pages import render_page
from lorarar.evaluation.report.tables import ReportTable

JUDGE = "lorarar.evaluation.judge.report"
EVIL = "<script>alert('1')</script>\" onload=\"x {{ 7 * 7 }}"
SAFE = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34; onload=&#34;x {{ 7 * 7 }}"


@dataclass(frozen=True)
class Question:
    axis: str
    text: str
    references: list[str]


@dataclass(frozen=True)
class Block:
    id: str
    questions: list[Question]


def test_text_and_attributes_are_escaped() -> None:
    page = render_page(
        "rating_sheet.html.jinja", JUDGE, sheet=EVIL, blocks=[Block(EVIL, [Question(EVIL, EVIL, [EVIL])])]
    )
    assert "<script" not in page
    assert f"<h2>{SAFE}</h2>" in page
    assert f'alt="{SAFE}"' in page
    assert f'<img src="{SAFE}" alt="reference"' in page
    assert f"<legend>{SAFE}</legend>" in page
    assert f'data-axis="{SAFE}"' in page


def test_all_parts_of_a_table_are_escaped() -> None:
    section = MetricsSection(encoders=ReportTable((EVIL,), [(EVIL,)], EVIL, (EVIL,)))
    page = render_page("metrics_section.html.jinja", metrics=section)
    assert "<script" not in page
    assert f'<p class="small caption">{SAFE}</p>' in page
    assert f'aria-label="{SAFE}"' in page
    assert f"<th>{SAFE}</th>" in page
    assert f'<tr class="tied"><td>{SAFE}</td></tr>' in page


def test_a_page_forbids_everything_from_elsewhere() -> None:
    page = render_page("rating_sheet.html.jinja", JUDGE, sheet="", blocks=[])
    assert page.startswith("<!doctype html>\n")
    head = page[: page.index("</head>")]
    assert head.index("Content-Security-Policy") < head.index("<style>")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', head)
    assert policy is not None
    assert unescape(policy[1]) == (
        "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'none'; form-action 'none'; "
        "base-uri 'none'"
    )
    assert "<title>Rating sheet</title>" in head
    assert ".banner {" in head


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'sheet' is undefined"):
        render_page("rating_sheet.html.jinja", JUDGE)


@pytest.mark.parametrize("package", [JUDGE, "lorarar.evaluation.report"])
def test_no_template_switches_escaping_off(package: str) -> None:
    loader = PackageLoader(package)
    for name in loader.list_templates():
        source, _, _ = loader.get_source(Environment(autoescape=True), name)
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", source), name
