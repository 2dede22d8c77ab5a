"""Hook of the site: notebooks as pages, `notebooks/NAME.ipynb` as `notebooks/NAME.md` with code and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def on_files(files: Any, config: Any) -> Any:
    """Add a page for every notebook."""
    from mkdocs.structure.files import File  # the tests of this file need no mkdocs

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page_of(path)))
    return files


def page_of(path: Path) -> str:
    """Return a notebook as Markdown."""
    cells = nbformat.read(path, as_version=4).cells
    note = f'\n\n<a href="{path.name}">Download this notebook</a>'
    parts = [_markdown(cell) if cell.cell_type == "markdown" else _code(cell) for cell in cells]
    return "\n\n".join([parts[0] + note, *parts[1:]]) + "\n"


def _markdown(cell: Any) -> str:
    """Return a cell of text; links to notebooks lead to their pages."""
    return str(cell.source).replace(".ipynb)", ".md)")


def _code(cell: Any) -> str:
    return "\n\n".join([_fence("python", cell.source), *map(_output, cell.outputs)])


def _output(output: Any) -> str:
    """Return an output: the richest form that it has."""
    if output.output_type == "stream":
        return _fence("text", output.text)
    data = output.data
    if "image/png" in data:
        return f'<img alt="output" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/html" in data:
        return f"<div>{data['text/html']}</div>"
    return _fence("text", data["text/plain"])


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
