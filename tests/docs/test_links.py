"""Links and images of every page lead somewhere, anchors included; external addresses are only well formed."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from tests.docs.blocks import ROOT

CODE = re.compile(r"^( *)```.*?^\1```|`[^`\n]+`", re.S | re.M)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$", re.M)
GENERATED = re.compile(r"^<!-- generated: ([\w ]+) -->$", re.M)


def documents() -> list[Path]:
    found = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md") if (ROOT / name).is_file()]
    for folder in ("docs", "experiments", "data"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return [*found, *sorted((ROOT / "docs/notebooks").glob("*.ipynb"))]


@cache
def text_of(path: Path) -> str:
    """Return a page's text without code, generated parts included; of a notebook, its text cells."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    text = path.read_text(encoding="utf-8")
    return GENERATED.sub(lambda match: generated(match[1]), text)


def generated(part: str) -> str:
    from tests.docs.test_site import reference

    return str(reference.generate(part))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page, as the site and code hosts make them, and its explicit ones."""
    found: set[str] = set()
    text = re.sub(r"^( *)```.*?^\1```", "", text_of(path), flags=re.S | re.M)
    for _, title in HEADING.findall(text):
        explicit = re.search(r"\{[^}]*#([\w-]+)[^}]*\}", title)
        plain = re.sub(r"\{[^}]*\}|[`*]|\[([^\]]*)\]\([^)]*\)", lambda match: match[1] or "", title)
        words = re.sub(r"[^\w\s-]", "", plain.lower()).strip()
        found |= {explicit[1]} if explicit else {words.replace(" ", "-"), re.sub(r"[-\s]+", "-", words)}
    return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text)) | set(re.findall(r"::: ([\w.]+)", text))


def problem(page: Path, link: str) -> str:
    """Return what is wrong with a link; "" where it leads somewhere."""
    parts = urlsplit(link)
    if parts.scheme:
        known = parts.scheme in ("https", "http", "mailto")
        return "" if known and (parts.netloc or parts.path) and " " not in link else "malformed"
    target = (page.parent / parts.path).resolve() if parts.path else page
    if not target.exists():
        return "no such file"
    if not target.is_relative_to(ROOT):
        return "outside the repository"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
        return f"no such heading, found {', '.join(sorted(anchors(target)))}"
    return ""


def links(page: Path) -> list[str]:
    return [first or second for first, second in LINK.findall(CODE.sub("", text_of(page)))]


@pytest.mark.parametrize("page", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert {link: wrong for link in links(page) if (wrong := problem(page, link))} == {}


def test_pages_have_links() -> None:
    assert len(links(ROOT / "README.md")) > 15
    assert sum(len(links(page)) for page in documents()) > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a](missing.md)", "no such file"),
        ("![a](missing.png)", "no such file"),
        ('<img src="missing.png">', "no such file"),
        ("[a](#nowhere)", "no such heading"),
        ("[a](ftp:x)", "malformed"),
        ("[a](../outside.md)", "outside"),
        ("[a](#a-heading-of-b)", ""),
        ("`[a](missing.md)`", None),
    ],
)
def test_a_dead_link_is_noticed(
    text: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.md").touch()
    monkeypatch.setattr("tests.docs.test_links.ROOT", root)
    page = root / "page.md"
    page.write_text(f"# A heading of `b`\n\n{text}\n")
    found = [problem(page, link) for link in links(page)]
    if message is None:
        assert found == []
    else:
        assert found[0].startswith(message) if message else found == [""]
