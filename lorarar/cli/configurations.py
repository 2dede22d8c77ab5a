"""Configured commands: CONFIG and key=value, in any order, and a help that lists the keys of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

import typer

from lorarar.cli.commands import Resumable, command

C = TypeVar("C")
Schema: TypeAlias = Callable[[], type[Any]]
Source = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="YAML file, or the name of a shipped configuration, see `lorarar configs`."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE ..]",
        help="Settings in place of those of the configuration, as in steps=100; anywhere on the line.",
        show_default="none",
    ),
]


class TakesConfig(Resumable):
    """Command whose one word without a "=" is the configuration."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command, and take the configuration from any place among them."""
        surplus = super().parse_args(ctx, args)
        words = [ctx.params["source"], *(ctx.params["overrides"] or ())]
        names = [word for word in words if "=" not in word or Path(word).is_file()]
        if not names:
            ctx.fail(f"expected a CONFIG, found {words[0]} alone: give a YAML file, or a name of `lorarar configs`")
        if len(names) > 1:
            ctx.fail(f"expected one CONFIG, found {' and '.join(names)}: settings are key=value")
        ctx.params["source"] = names[0]
        ctx.params["overrides"] = [word for word in words if word != names[0]]
        return surplus


class Configured(TakesConfig):
    """Command with a configuration of its own."""

    schema: ClassVar[Schema]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, then the keys of the configuration."""
        super().format_help(ctx, formatter)
        print_keys(type(self).schema())


def configured(schema: Schema) -> type[Configured]:
    """Return the class of a command that takes a configuration.

    Args:
        schema: Function that returns the dataclass of the configuration, called only when it is needed, so that the
            other commands do not import it.
    """
    return type("Configured", (Configured,), {"schema": staticmethod(schema)})


def configured_commands() -> dict[str, Schema]:
    """Return every command that takes a configuration, such as "benchmark gates", with its schema."""
    from lorarar.cli.main import commands

    found: dict[str, Schema] = {}
    groups = [("", commands())]
    for prefix, group in groups:
        for name, inner in group.commands.items():
            if isinstance(inner, Configured):
                found[f"{prefix}{name}"] = type(inner).schema
            groups += [(f"{prefix}{name} ", inner)] if hasattr(inner, "commands") else []
    return found


def fitting_command(settings: Mapping[str, Any], preferred: str = "") -> str:
    """Return the command whose configuration has the fewest mistakes.

    Args:
        settings: Plain data of the configuration.
        preferred: Start of the command that is taken if no other has fewer, such as the name of the file's folder.
    """
    from lorarar.storage import find_mistakes

    schemas = configured_commands()
    mistakes = {schema: len(find_mistakes(schema, settings)) for schema in {make() for make in schemas.values()}}
    return min(schemas, key=lambda name: (mistakes[schemas[name]()], not name.startswith(preferred)))


def read(schema: type[C], source: str, overrides: Sequence[str]) -> C:
    """Read the configuration of a command.

    Raises:
        ConfigError: As `load_config`; a configuration of another command is named as such.
    """
    from lorarar.storage import ConfigError, find_config, find_mistakes, load_config, read_config

    try:
        return load_config(schema, source, overrides)
    except ConfigError as error:
        path = find_config(source)
        settings = read_config(path)
        fitting = fitting_command(settings, path.parent.name)
        other = configured_commands()[fitting]()
        if other is not schema and not find_mistakes(other, settings):
            command = f"`lorarar {fitting}`"
            raise ConfigError(
                f"{path}: expected a configuration of this command, found one of {command}: run {command}, or choose "
                "another from `lorarar configs`"
            ) from error
        raise


def add_configured(
    app: typer.Typer,
    name: str,
    schema: Callable[[], type[C]],
    run: Callable[[C], object],
    text: str,
    section: str | None = None,
) -> None:
    """Add a command NAME CONFIG [KEY=VALUE ..].

    Args:
        app: The group.
        name: Name of the command.
        schema: Function that returns the dataclass of the configuration.
        run: Function of the configuration that does the work and prints what it made.
        text: Help of the command.
        section: As `command` takes it.
    """

    @command(app, name, configured(schema), section)
    def call(source: Source, overrides: Overrides = None) -> None:
        run(read(schema(), source, overrides or ()))

    call.__doc__ = text


def print_keys(schema: type[Any]) -> None:
    """Print the keys of a configuration: name, type, default and documentation of each.

    Args:
        schema: The dataclass of the configuration.
    """
    from rich.text import Text

    from lorarar.cli.help import print_page, section, with_default
    from lorarar.storage import config_keys

    rows = []
    for key in config_keys(schema):
        text = Text.assemble((f"{key.type}: ", "yellow"), with_default(key.text, "" if key.required else key.default))
        rows.append(
            (Text(key.name, style="cyan"), text.append(" Required.", style="dim red") if key.required else text)
        )
    print_page([section("Keys of the configuration", rows)])
