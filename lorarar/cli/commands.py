"""Commands: classes of commands and groups, with the options that every command has and the layout of the help."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from lorarar.cli.options import FLAG
from lorarar.cli.usage import separated_values, spelling, surplus_words
from lorarar.cli.values import COMMA_LISTS
from lorarar.storage import unknown_name

GENERAL = "General"
Function = TypeVar("Function", bound=Callable[..., Any])


class Command(TyperCommand):
    """Command with the options that every command has.

    Attributes:
        kept: What an interrupt leaves, for the message after Ctrl-C.
    """

    # Words that no argument takes are refused here, with a message that helps.
    allow_extra_args = True
    kept: ClassVar[str] = "every file that was written is complete"

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.params = [*self.params, *_general_options()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command."""
        words = list(args)
        separated = separated_values(self, words, COMMA_LISTS)
        if separated:
            ctx.fail(separated)
        surplus = super().parse_args(ctx, args)
        if surplus:
            ctx.fail(surplus_words(self, ctx.command_path, words, surplus))
        return surplus

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the line of usage: arguments, required options, "[OPTIONS]"."""
        return _usage(self)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from lorarar.cli.help import print_help

        print_help(self, ctx)

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """Return --help, in the panel of the options that every command has."""
        return _in_general(super().get_help_option(ctx))


class Resumable(Command):
    """Command whose finished parts remain after an interrupt."""

    kept: ClassVar[str] = "what was finished is kept, and the same command continues from there"


class Group(TyperGroup):
    """Group of commands; without a command it prints its help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.params = [*self.params, *_general_options()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words up to the command."""
        if not args:
            ctx.get_help()  # prints it
            ctx.exit(0)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names."""
        if self.get_command(ctx, args[0]) is None:
            ctx.fail(unknown_name(f"a command of `{ctx.command_path}`", args[0], self.commands))
        return super().resolve_command(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the line of usage."""
        return ["COMMAND ..."]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from lorarar.cli.help import print_help

        print_help(self, ctx)

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """Return --help, in the panel of the options that every command has."""
        return _in_general(super().get_help_option(ctx))


def new_app(**settings: Any) -> typer.Typer:
    """Return an empty group of commands.

    Args:
        settings: As `typer.Typer` takes them, such as the help.
    """
    return typer.Typer(**{"cls": Group, "add_completion": False, "pretty_exceptions_enable": False, **settings})


def command(
    app: typer.Typer, name: str, cls: type[Command] = Command, section: str | None = None
) -> Callable[[Function], Function]:
    """Return a decorator that adds a function to a group; the docstring is the help.

    Args:
        app: The group.
        name: Name of the command.
        cls: Class of the command.
        section: Title in the list of commands under which it stands.
    """
    return app.command(name, cls=cls, rich_help_panel=section)


def _load_plugins(paths: list[Path] | None) -> None:
    from lorarar.storage import load_plugin

    for path in paths or []:
        load_plugin(path)


def _general(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Python file with own mergers, networks, metrics or back ends; repeatable.",
            show_default="none",
            rich_help_panel=GENERAL,
            callback=_load_plugins,
            is_eager=True,  # the names that a plugin adds must exist when the other options are checked
            expose_value=False,
        ),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            metavar=FLAG,
            help="Show the traceback of an error.",
            rich_help_panel=GENERAL,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """Stand for the options that every command has; `main` reads --debug from the command line."""


@cache
def _general_options() -> tuple[Any, ...]:
    app = typer.Typer(add_completion=False)
    app.command()(_general)
    return tuple(get_command(app).params)


def _in_general(option: TyperOption | None) -> TyperOption | None:
    if option is not None:
        option.rich_help_panel = GENERAL
        option.metavar = FLAG
        option.help = "Show this help."
    return option


def _usage(command: TyperCommand) -> list[str]:
    arguments = [spelling(parameter) for parameter in command.params if isinstance(parameter, TyperArgument)]
    required = [
        f"{parameter.opts[0]} {parameter.metavar}"
        for parameter in command.params
        if isinstance(parameter, TyperOption) and parameter.required
    ]
    return [*arguments, *required, "[OPTIONS]"]
