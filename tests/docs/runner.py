"""Runs the blocks of a page in a folder that has what a fresh clone has."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from lorarar.cli.main import main
from lorarar.storage.plugins import scoped_plugins
from tests.docs.blocks import ROOT, Block, commands, same_output
from tests.docs.parsing import check_command

_LINKED = ("configs", "data", "docs", "experiments", "lorarar", "tests")
_SHELL = ("cat", "cp", "head", "ls", "mkdir", "mv", "rm", "sed")


def clone(folder: Path) -> Path:
    """Link into a folder what the commands of a page read."""
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    return folder


def fill_demo(folder: Path) -> None:
    """Write the images of the demo that the embedded default's contact sheet holds, as `make demo` leaves them."""
    sheet = Image.open(ROOT / "data/embedded/contact_sheet.png").convert("RGB")
    methods = ("direct", "average", "constant", "hypernetwork", "hypernetwork_paper")
    for column, method in enumerate(methods, 3):
        for row in range(8):
            path = folder / "images" / method / f"test_content_{row:02}+test_style_{row:02}" / "0.png"
            path.parent.mkdir(parents=True)
            left, top = 4 + 100 * column, 22 + 100 * row  # cells of 96 pixels, 4 apart
            cell = sheet.crop((left, top, left + 96, top + 96))
            cell.resize((32, 32), Image.Resampling.NEAREST).save(path)


def write_file(block: Block) -> None:
    """Write a block that is a file into the current folder."""
    path = Path(block.title or "")
    assert not path.resolve().is_relative_to(ROOT), f"{block}: {path} would be written into the repository"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


@dataclass
class Runner:
    """The state between the blocks of a page: Python names, and what the last block printed."""

    capsys: pytest.CaptureFixture[str]
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})
    printed: str = ""

    def run(self, block: Block) -> None:
        """Run a block, or check it.

        Raises:
            AssertionError: It fails, or prints something else than the page says.
        """
        if block.title:
            write_file(block)
        elif block.output:
            difference = same_output(block.text, self.printed)
            assert not difference, f"{block}: {difference}"
        elif block.language in ("sh", "bash", "shell", "console"):
            self._run_shell(block)
        elif block.language in ("python", "py", "pycon"):
            self._run_python(block)
        elif block.language in ("yaml", "yml") and block.reason is None:
            yaml.safe_load(block.text)

    def _run_shell(self, block: Block) -> None:
        if block.reason is not None:
            for command in commands(block.text):
                check_command(command, str(block))
            return
        self.printed = ""
        for command in commands(block.text):
            self._run_command(command, str(block))

    def _run_command(self, command: Sequence[str], where: str) -> None:
        name = Path(command[0]).name
        if name == "lorarar":
            code = _exit_code(command[1:])
            output = self.capsys.readouterr()
            self.printed += output.out
            assert code == 0, f"{where}: {' '.join(command)}: exit code {code}\n{output.err}"
        elif name == "cd":
            os.chdir(command[1])
        elif name in _SHELL:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.printed += done.stdout
            assert done.returncode == 0, f"{where}: {' '.join(command)}: {done.stderr}"
        else:
            check_command(command, where)
            if list(command) == ["make", "demo"]:
                fill_demo(Path("runs/demo"))

    def _run_python(self, block: Block) -> None:
        if block.reason is not None:
            compile(block.text, str(block), "exec") if ">>>" not in block.text else _examples(block)
        elif ">>>" in block.text:
            test = doctest.DocTest(_examples(block), self.names, str(block), str(block.page), block.line, None)
            output: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            failed = runner.run(test, out=output.append, clear_globs=False).failed
            assert not failed, "".join(output)
        else:
            exec(compile("\n" * block.line + block.text, str(block.page), "exec"), self.names)
            self.printed = self.capsys.readouterr().out


def _examples(block: Block) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(re.sub(r"\n*\Z", "\n", block.text), str(block))


def _exit_code(argv: Sequence[str]) -> int:
    try:
        with scoped_plugins():
            return main(list(argv))
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
    finally:
        sys.stdout.flush()
