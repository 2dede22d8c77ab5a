"""Checks commands that are not run: their options, configurations, targets and files exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from lorarar.cli.configurations import Configured, read
from lorarar.cli.main import commands
from lorarar.storage import shipped_configs
from lorarar.storage.plugins import scoped_plugins
from tests.docs.blocks import ROOT


def check_command(words: Sequence[str], where: str) -> None:
    """Check a command of a page.

    Raises:
        AssertionError: It names what does not exist, or no check knows the command.
    """
    name = Path(words[0]).name
    if name.endswith(".sh"):
        assert (ROOT / words[0]).is_file(), f"{where}: no file {words[0]}"
        return
    name = "python" if re.fullmatch(r"python[\d.]*|py", name) else name
    assert name in CHECKS, f"{where}: no check knows the command {words[0]}: extend tests/docs/parsing.py"
    problem = CHECKS[name](list(words[1:]))
    assert not problem, f"{where}: {' '.join(words)}: {problem}"


def check_lorarar(words: list[str]) -> str:
    """Return what the command line says against a command; "" where it would run.

    A plugin that does not exist here, because another page makes it, is left out.
    """
    for before, word in pairwise(words):
        if before == "--plugin" and not Path(word).is_file():
            words = [each for each in words if each not in (before, word)]
    try:
        with scoped_plugins():
            context = parse(words)
    except typer.Exit as ended:
        return "" if ended.exit_code == 0 else f"exit code {ended.exit_code}"
    except typer.TyperException as error:
        return error.format_message()
    if isinstance(context.command, Configured):
        source, overrides = context.params["source"], context.params["overrides"]
        if source in shipped_configs() or Path(ROOT / source).is_file():
            try:
                read(type(context.command).schema(), source, overrides)
            except ValueError as error:
                return str(error)
    return ""


def parse(words: Sequence[str]) -> Any:
    """Return the context of the command that a command line names, with its parameters; nothing is run."""
    command = commands()
    context = command.make_context("lorarar", list(words))
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]  # typer keeps the words after a group here
        if not rest:
            break
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


def check_make(words: list[str]) -> str:
    """Return which target the Makefile has not."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    unknown = [word for word in words if "=" not in word and word not in targets]
    return f"no target {unknown}" if unknown else ""


def check_pip(words: list[str]) -> str:
    """Return which file or extra an installation names that does not exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for before, word in zip(["", *words], words, strict=False):
        if (
            before in ("-c", "-r", "--constraint", "--requirement", "--build-constraint")
            and not (ROOT / word).is_file()
        ):
            return f"no file {word}"
        named = re.fullmatch(r"(?:\.|lorarar)\[([\w,-]+)\]", word)
        for extra in named[1].split(",") if named else ():
            if extra not in extras:
                return f"no extra {extra}"
    return "" if words and words[0] in ("install", "pip", "venv", "wheel", "sync", "list", "python") else "unknown"


def check_python(words: list[str]) -> str:
    """Return which script does not exist, or what does not compile."""
    if words[0] == "-m":
        return (
            "" if words[1] in ("venv", "pip", "build", "lorarar.cli", "pytest", "http.server") else f"module {words[1]}"
        )
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return ""
    return "" if (ROOT / words[0]).is_file() else f"no file {words[0]}"


def check_docker(words: list[str]) -> str:
    """Return what is missing for a build."""
    return "" if (ROOT / "Dockerfile").is_file() and words[0] in ("build", "run") else "no Dockerfile, or unknown"


def _anything(_: list[str]) -> str:
    return ""


CHECKS: dict[str, Callable[[list[str]], str]] = {
    "lorarar": check_lorarar,
    "make": check_make,
    "pip": check_pip,
    "uv": check_pip,
    "python": check_python,
    "docker": check_docker,
    **dict.fromkeys(
        ("git", "cd", "mkdir", "ls", "cat", "export", "source", ".", "cp", "sudo", "apt-get", "brew"), _anything
    ),
}
