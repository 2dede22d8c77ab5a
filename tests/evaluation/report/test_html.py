"""Markup: nothing but what is made here is markup."""

from __future__ import annotations

from lorarar.evaluation.report.html import Markup, element, page

EVIL = "<script>alert('1')</script>\" onload=\"x"
SAFE = "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot; onload=&quot;x"


def test_text_and_attributes_are_escaped() -> None:
    assert element("p", EVIL, title=EVIL) == f'<p title="{SAFE}">{SAFE}</p>'
    assert element("p", EVIL, class_=EVIL) == f'<p class="{SAFE}">{SAFE}</p>'
    assert element("ul", [element("li", EVIL), element("li", "b")]) == f"<ul><li>{SAFE}</li>\n<li>b</li></ul>"


def test_markup_is_kept_once() -> None:
    assert element("b", element("i", "a & b"), "<") == "<b><i>a &amp; b</i>&lt;</b>"
    assert element("b", element("i", "x") + "<u>") == "<b>&lt;i&gt;x&lt;/i&gt;&lt;u&gt;</b>"  # a plain string again


def test_elements_without_content() -> None:
    assert element("img", src="a.png", alt="x") == '<img src="a.png" alt="x">'
    assert element("meta", http_equiv="a", name_="b") == '<meta http-equiv="a" name="b">'
    assert isinstance(element("p"), Markup)


def test_a_page_forbids_everything_from_elsewhere() -> None:
    made = page(EVIL, [element("p", "x")], style="p { color: red; }")
    assert made.startswith("<!doctype html>")
    assert f"<title>{SAFE}</title>" in made
    assert "default-src &#x27;none&#x27;" in made
    assert "<style>\np { color: red; }</style>" in made
    assert "<style>" not in page("x", [])
