"""The Makefile, with a Python and a pip that only write down how they were called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

# It stands for the interpreter and, copied by `-m venv`, for the environment's. Files beside the Makefile set what it
# can do: `old` (too old), `no-pip` (a new environment has none), `no-ensurepip`, `broken-pip` (an installation fails).
PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in
    --version) echo Python 3.9.1 ;;
    *version_info*) [ ! -e old ] ;;
    "-m venv --clear "*)
        rm -rf .venv
        mkdir -p .venv/bin
        cp "$0" .venv/bin/python
        [ -e no-pip ] || touch .venv/pip ;;
    "-c import pip") [ -e .venv/pip ] ;;
    "-m ensurepip") [ ! -e no-ensurepip ] && touch .venv/pip ;;
    "-m pip install "*) [ ! -e broken-pip ] || { echo "ERROR: no space left" >&2; exit 1; } ;;
esac
"""


class Checkout:
    """A folder with the Makefile, what it reads, and the recording Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "setup.py", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        self.program("python", PYTHON)

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def make(self, *words: str, python: str = "bin/python") -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        # Make that runs the tests must not show in the messages of the one that is tested.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        environment = {**inherited, "PATH": path, "CI": ""}
        return subprocess.run(
            ["make", *words, f"PYTHON={python}"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, start: str = "") -> list[str]:
        """How Python was called since this was last asked."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(start)]

    def flag(self, name: str) -> Path:
        (self.folder / name).touch()
        return self.folder / name

    def installed(self) -> bool:
        return (self.folder / ".venv" / ".installed").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_new_checkout_is_installed_in_named_steps_and_once(checkout: Checkout) -> None:
    result = checkout.make("install")
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "Creating",
        "Installing",
        "Installing",
        "Installed:",
    ]
    assert "minutes" in result.stdout
    torch, package = checkout.calls("-m pip install")
    assert re.search(r"-c constraints\.txt.* torch==\d", torch)
    assert package.endswith("-e .")
    assert checkout.make("install").returncode == 0
    assert checkout.calls("-m pip install") == []


def test_changed_constraints_are_installed_again(checkout: Checkout) -> None:
    checkout.make("install")
    checkout.calls()
    later = (checkout.folder / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout.folder / "constraints.txt", (later, later))
    assert checkout.make("install").returncode == 0
    assert len(checkout.calls("-m pip install")) == 2


def test_an_old_or_missing_python_is_named_with_the_remedy(checkout: Checkout) -> None:
    missing = checkout.make("install", python="python-of-nowhere")
    checkout.flag("old")
    old = checkout.make("install")
    for result, found in ((old, "found Python 3.9.1"), (missing, "python-of-nowhere")):
        assert result.returncode != 0
        line = next(line for line in result.stderr.splitlines() if line.startswith("expected Python 3.11 or later"))
        assert found in line
        assert "PYTHON=" in line
    assert not (checkout.folder / ".venv").exists()


def test_an_environment_of_an_old_python_is_left_to_the_user(checkout: Checkout) -> None:
    checkout.make("install")
    checkout.flag("old")
    result = checkout.make("install")
    assert result.returncode != 0
    assert "delete the folder .venv" in result.stderr
    assert checkout.installed()


def test_an_interrupted_installation_is_repeated(checkout: Checkout) -> None:
    fault = checkout.flag("broken-pip")
    result = checkout.make("demo")
    assert result.returncode != 0
    assert "ERROR: no space left" in result.stderr
    assert not checkout.installed()
    fault.unlink()
    assert checkout.make("install").returncode == 0
    assert checkout.installed()


def test_an_environment_without_a_working_python_is_made_anew(checkout: Checkout) -> None:
    python = checkout.folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("an-interpreter-that-is-gone")
    result = checkout.make("install")
    assert result.returncode == 0, result.stderr
    assert "Creating .venv" in result.stdout
    assert checkout.calls("-m venv") == ["-m venv --clear .venv"]


def test_an_environment_without_pip_gets_one(checkout: Checkout) -> None:
    checkout.flag("no-pip")
    result = checkout.make("install")
    assert result.returncode == 0, result.stderr
    assert "Adding pip to .venv" in result.stdout
    assert "-m ensurepip" in checkout.calls()


def test_uv_adds_pip_where_python_cannot(checkout: Checkout) -> None:
    checkout.flag("no-pip")
    checkout.flag("no-ensurepip")
    failed = checkout.make("install")
    assert failed.returncode != 0
    assert "expected pip in .venv, found none" in failed.stderr
    checkout.program("uv", '#!/bin/sh\necho "uv $*" >> calls\ntouch .venv/pip\n')
    assert checkout.make("install").returncode == 0
    assert checkout.calls("uv") == ["uv pip install --quiet --python .venv/bin/python pip"]


@pytest.mark.parametrize(("target", "extra"), [("test", "test"), ("lint", "dev"), ("docs", "docs")])
def test_a_target_installs_what_it_needs(checkout: Checkout, target: str, extra: str) -> None:
    for tool in ("ruff", "mypy", "mkdocs"):
        checkout.program(tool, f'#!/bin/sh\necho "{tool} $*" >> calls\n')
    checkout.make("install")
    for tool in ("ruff", "mypy", "mkdocs"):
        shutil.copy(checkout.folder / "bin" / tool, checkout.folder / ".venv" / "bin" / tool)
    checkout.calls()
    result = checkout.make(target)
    assert result.returncode == 0, result.stderr
    assert [call.split()[-1] for call in checkout.calls("-m pip install")] == [f".[{extra}]"]


def test_the_index_for_torch_reaches_pip(checkout: Checkout) -> None:
    checkout.make("install", "TORCH_INDEX=https://index.invalid/simple")
    calls = checkout.calls("-m pip install")
    assert ["--extra-index-url https://index.invalid/simple" in call for call in calls] == [True, True]


def test_help_lists_every_target(checkout: Checkout) -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.*)$", text, re.M)[0].split()) - {"environment"}
    listed = set(re.findall(r"^make (\S+)", checkout.make("help").stdout, re.M))
    assert listed == targets
    assert checkout.make().stdout == checkout.make("help").stdout
