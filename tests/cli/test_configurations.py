"""lorarar.cli.configurations: CONFIG and key=value in any order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

from lorarar.cli.commands import new_app
from lorarar.cli.configurations import add_configured


@dataclass(frozen=True)
class Settings:
    """Settings of a command.

    Attributes:
        steps: Steps.
        name: A name.
    """

    steps: int = 1
    name: str = "a"


@pytest.mark.parametrize(
    "words",
    [
        "{config} steps=3 name=b",
        "steps=3 {config} name=b",
        "steps=3 name=b {config}",
        "steps=3 --debug name=b {config}",
    ],
)
@pytest.mark.parametrize("file", ["config.yaml", "a=b.yaml"])
def test_settings_may_stand_anywhere(words: str, file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text("name: c\n")
    found: list[Settings] = []
    app = new_app()
    add_configured(app, "work", lambda: Settings, found.append, "Work.")
    add_configured(app, "other", lambda: Settings, found.append, "Work.")
    group = get_command(app)
    with group.make_context("x", ["work", *(word.format(config=path) for word in words.split())]) as context:
        group.invoke(context)
    assert found == [Settings(3, "b")]
