"""Help: the pages that `--help` prints, each option with its default, in sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument

# Sections that end a page, in this order; the others stand in the order of their options.
_LAST = ("Reproduce", "Set up", "Output", "Compute", "Many machines", "General")
_ARGUMENTS, _OPTIONS, _COMMANDS = "Arguments", "Options", "Commands"
_WIDEST = 100
_NAMES = 30  # columns of names at most; a longer name has a line of its own

Row = tuple[Text, Text]
R = TypeVar("R")


def print_help(command: Any, context: Any) -> None:
    """Print the page of a command or a group.

    Args:
        command: The command.
        context: Its typer context.
    """
    parts: list[RenderableType] = [Text(), Text.assemble(("Usage: ", "bold"), _usage(command, context))]
    parts += [Padding(Text(text), (1, 0, 0, 0)) for text in _paragraphs(command.help or "")]
    commands = [inner for inner in getattr(command, "commands", {}).values() if not inner.hidden]
    parts += [section(title, rows) for title, rows in by_section(map(_command_row, commands))]
    parts += [section(title, rows) for title, rows in by_section(map(_parameter_row, command.get_params(context)))]
    parts += [Padding(Text(text, style="dim"), (1, 0, 0, 0)) for text in _paragraphs(command.epilog or "")]
    print_page(parts)


def print_page(parts: Sequence[RenderableType]) -> None:
    """Print parts of a page, at most 100 columns wide.

    Args:
        parts: Texts and what `section` returns.
    """
    console = Console(highlight=False)
    console.width = min(console.width, _WIDEST)
    console.print(Group(*parts))


def section(title: str, rows: Sequence[Row]) -> RenderableType:
    """Return a section: a title, and a line for each name with its text.

    Args:
        title: The title.
        rows: Names with their texts.
    """
    width = max((len(name) for name, _ in rows if len(name) <= _NAMES), default=_NAMES)
    parts: list[RenderableType] = [Text(), Text(title, style="bold")]
    for name, text in rows:
        if len(name) > width:
            parts += [Padding(name, (0, 0, 0, 2)), Padding(text, (0, 0, 0, width + 4))]
            continue
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(width=width)
        line.add_column()
        line.add_row(name, text)
        parts.append(Padding(line, (0, 0, 0, 2)))
    return Group(*parts)


def with_default(text: str, default: str) -> Text:
    """Return the text of an option with its default.

    Args:
        text: What the option does.
        default: Its default; "" for none.
    """
    return Text.assemble(text, (f" Default: {default}." if default else "", "dim"))


def _usage(command: Any, context: Any) -> str:
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def panel_of(parameter: Any) -> str:
    """Return the section of the help in which a parameter stands."""
    panel: str = parameter.rich_help_panel or (_ARGUMENTS if isinstance(parameter, TyperArgument) else _OPTIONS)
    return panel


def by_section(rows: Iterable[tuple[str, R]]) -> list[tuple[str, list[R]]]:
    """Return the rows of each section, the sections in the order of the page."""
    sections: dict[str, list[R]] = {}
    for title, row in rows:
        sections.setdefault(title, []).append(row)
    return sorted(sections.items(), key=lambda entry: _LAST.index(entry[0]) if entry[0] in _LAST else -1)


def _command_row(command: Any) -> tuple[str, Row]:
    text = _paragraphs(command.short_help or command.help or "")[:1]
    return command.rich_help_panel or _COMMANDS, (Text(command.name, style="cyan"), Text("".join(text)))


def _parameter_row(parameter: Any) -> tuple[str, Row]:
    if isinstance(parameter, TyperArgument):
        name = Text(str(parameter.metavar), style="cyan")
    else:
        name = Text(", ".join(sorted(parameter.opts, key=len)), style="cyan")
        name.append(f" {parameter.metavar}" if parameter.metavar else "", style="yellow")
    text = with_default(parameter.help or "", _default(parameter))
    return panel_of(parameter), (name, text.append(" Required.", style="dim red") if parameter.required else text)


def _default(parameter: Any) -> str:
    """Return the default of a parameter in words, or "" if it needs none: a flag, a parameter that is required."""
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    default = parameter.default
    if default is None or isinstance(default, bool):
        return ""
    return ",".join(map(str, default)) if isinstance(default, list) else str(default)
