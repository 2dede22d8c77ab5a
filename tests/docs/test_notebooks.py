"""The notebooks: their cells run in order in one process, and their outputs are small."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from tests.docs.blocks import ROOT
from tests.docs.runner import clone

sys.path.insert(0, str(ROOT / "docs/hooks"))
notebooks = importlib.import_module("notebooks")
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def run(cells: list[str], names: dict[str, Any]) -> list[object]:
    """Run cells of code; return the value of each, which a notebook shows: that of a last expression, else None."""
    shown = []
    for number, text in enumerate(cells):
        tree = ast.parse(text)
        last = tree.body[-1]
        expression = ast.Expression(tree.body.pop().value) if isinstance(last, ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        shown.append(eval(compile(expression, f"cell {number}", "eval"), names) if expression else None)
    return shown


def code(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone(tmp_path))
    shown = run(code(path), {"__name__": "__notebook__"})
    assert any(hasattr(value, "_repr_html_") or hasattr(value, "_repr_png_") for value in shown)
    assert (tmp_path / "runs/notebook").is_dir()


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["merge_and_look", "merge_in_colab", "train_and_compare"]


def test_in_colab_the_repository_is_cloned_and_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first cell, where Colab's package is loaded."""
    (setup, *_) = code(ROOT / "docs/notebooks/merge_in_colab.ipynb")
    commands: list[list[str]] = []

    def run_command(words: list[str], check: bool) -> None:
        commands.append(words[-2:])
        (tmp_path / "lorarar/data/embedded").mkdir(parents=True, exist_ok=True)

    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("colab"))
    monkeypatch.setattr(subprocess, "run", run_command)
    setup = setup.replace("/content", str(tmp_path))
    for _ in range(2):
        monkeypatch.chdir(tmp_path)
        run([setup], {})
        assert Path.cwd() == tmp_path / "lorarar"
    assert commands == [["1", "https://github.com/lorarar/lorarar"], ["-q", "./lorarar"]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_tells_nothing_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert len(text) < 200_000
    assert str(ROOT) not in text
    assert "Traceback" not in text
    assert '"stderr"' not in text


def test_a_failing_cell_is_noticed() -> None:
    assert run(["x = 1", "x + 1"], {}) == [None, 2]
    with pytest.raises(NameError):
        run(["missing"], {})


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    book = nbformat.v4.new_notebook()
    code_cell = nbformat.v4.new_code_cell("print(1)\nimage")
    output = nbformat.v4.new_output
    code_cell.outputs = [
        output("stream", text="1\n"),
        output("display_data", {"text/plain": "<Image>", "image/png": "QUJD\n"}),
        output("execute_result", {"text/plain": "LoRA", "text/html": "<table></table>"}),
    ]
    book.cells = [nbformat.v4.new_markdown_cell("# Look\n\n[next](b.ipynb)"), code_cell]
    nbformat.write(book, tmp_path / "a.ipynb")
    page = notebooks.page_of(tmp_path / "a.ipynb")
    assert page.startswith('# Look\n\n[next](b.md)\n\n<a href="a.ipynb">')
    assert "```python\nprint(1)\nimage\n```\n\n```text\n1\n```" in page
    assert "data:image/png;base64,QUJD" in page
    assert "<div><table></table></div>" in page
    assert "<Image>" not in page
