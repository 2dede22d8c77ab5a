"""Hooks of the site: generated parts of pages, and files of the repository that pages link to.

A page asks for a generated part with a line such as `<!-- generated: mergers -->`; `reference.py` makes it. A page
links to a file by its place in the repository (`../experiments/main/README.md`), so that links work in a checkout and
on a code host; here every such file becomes part of the site, under the same path, and links are rewritten to it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import reference

ROOT = Path(__file__).parents[2]
DOCS = "docs"
OUTSIDE = ("CONTRIBUTING.md", "CHANGELOG.md")  # pages of the navigation that lie outside docs/
# A link or a picture, with an optional title or anchor; the pattern of code keeps links in code as they are.
LINK = re.compile(r"(\]\(|<img [^>]*?src=\"|<a [^>]*?href=\")([^)\s\"#]+)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.S | re.M)
GENERATED = re.compile(r"^<!-- generated: ([\w ]+) -->$", re.M)


def split_code(markdown: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a page in turn: whether a part is code, and its text."""
    end = 0
    for match in CODE.finditer(markdown):
        yield False, markdown[end : match.start()]
        yield True, match[0]
        end = match.end()
    yield False, markdown[end:]


def place(src_uri: str) -> str:
    """Return the path in the repository of a page of the site."""
    return f"{DOCS}/{src_uri}" if (ROOT / DOCS / src_uri).exists() else src_uri


def target(page: str, link: str) -> str | None:
    """Return the path in the repository that a relative link of a page leads to; None for any other link."""
    if "://" in link or link.startswith(("mailto:", "data:", "/")):
        return None
    path = os.path.normpath(PurePosixPath(page).parent / link)
    if (ROOT / path).is_dir() and (ROOT / path / "README.md").is_file():
        path += "/README.md"
    return path if (ROOT / path).is_file() and not path.startswith("..") else None


def site_path(path: str) -> str:
    """Return where a file of the repository lies in the site."""
    if path == "README.md":
        return "index.md"
    if path.endswith(".ipynb"):  # notebooks.py makes pages of them
        path = path.removesuffix(".ipynb") + ".md"
    return path.removeprefix(f"{DOCS}/")


def links(page: str) -> set[str]:
    """Return the files of the repository that a page links to."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = {target(page, match[2]) for code, part in split_code(text) if not code for match in LINK.finditer(part)}
    return {path for path in found if path}


def on_files(files: Any, config: Any) -> Any:
    """Add the files outside docs/ that pages link to, and those that these link to in turn."""
    from mkdocs.structure.files import File  # the tests of this file need no mkdocs

    pages = [place(file.src_uri) for file in files.documentation_pages()]
    pages = [page for page in pages if (ROOT / page).is_file()]  # notebooks.py makes pages that lie in no file
    seen = set(pages)
    for path in filter(lambda each: (ROOT / each).is_file(), OUTSIDE):  # the navigation names one that is missing
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        pages.append(path)
        seen.add(path)
    while pages:
        for path in sorted(links(pages.pop()) - seen):
            seen.add(path)
            if path.startswith(f"{DOCS}/") or path == "README.md":
                continue
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
            if path.endswith(".md"):
                pages.append(path)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put the generated parts into a page, and rewrite its links to files outside docs/."""
    source = page.file.src_uri
    here = place(source)
    if source.startswith("results/"):
        page.meta["hide"] = ["toc"]  # room for wide tables

    def rewrite(match: re.Match[str]) -> str:
        path = target(here, match[2])
        if not path:
            return match[0]
        return match[1] + os.path.relpath(site_path(path), PurePosixPath(source).parent)

    parts = [part if code else LINK.sub(rewrite, part) for code, part in split_code(markdown)]
    return GENERATED.sub(lambda match: reference.generate(match[1]), "".join(parts))
