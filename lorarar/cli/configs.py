"""Configuration commands: list the shipped configurations, copy one, check a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lorarar.cli.commands import Group, command, new_app
from lorarar.cli.configurations import Overrides, Source, TakesConfig, configured_commands, fitting_command
from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.options import OUTPUT, SET_UP, Force, option


class _ListByDefault(Group):
    """Group that lists the configurations without a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words up to the command."""
        return super().parse_args(ctx, args or ["list"])


def add(app: typer.Typer) -> None:
    """Add `configs` and its commands."""
    configs = new_app(cls=_ListByDefault, help="List the shipped configurations, copy one, or check a file.")
    command(configs, "list")(_list)
    command(configs, "copy")(_copy)
    command(configs, "check", TakesConfig)(_check)
    app.add_typer(configs, name="configs", rich_help_panel=SET_UP)


def _list() -> None:
    """List the shipped configurations: name, command, purpose."""
    from rich.text import Text

    from lorarar.cli.help import print_page, section
    from lorarar.storage import list_configs

    found = list_configs()
    parts = []
    for name in sorted({config.command for config in found}):
        rows = [(Text(config.name, style="cyan"), Text(config.text)) for config in found if config.command == name]
        parts.append(section(f"lorarar {name}", rows))
    print_page(parts)
    print("\nA command takes a name in place of a file: `lorarar train train/embedded`. `configs copy` writes one.")


def _copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a shipped configuration, as in train/embedded.")],
    output: Annotated[
        Path | None,
        option("-o", "--output", value="FILE", text="File to write.", panel=OUTPUT, default="NAME with _ for /, here"),
    ] = None,
    force: Force = False,
) -> None:
    """Copy a shipped configuration, with every further key commented out beside its default."""
    from lorarar.storage import copy_config, find_config, read_config

    source = find_config(name)
    fitting = fitting_command(read_config(source), _stated_command(source))
    target = output or Path(f"{Path(name).with_suffix('').as_posix().strip('./').replace('/', '_')}.yaml")
    copy_config(name, target, configured_commands()[fitting](), force=force)
    print(f"{target}: a configuration of `lorarar {fitting}`")


def _check(
    source: Source,
    overrides: Overrides = None,
    for_command: Annotated[
        str | None,
        option(
            "--command",
            value="COMMAND",
            text='Command that the file is for, as in "benchmark gates".',
            default="the one whose keys fit best",
        ),
    ] = None,
) -> ExitCode:
    """Check a configuration without running it: every mistake, and the inputs that do not exist yet."""
    from lorarar.storage import find_config, find_mistakes, load_config, missing_inputs, read_config, unknown_name

    schemas = configured_commands()
    if for_command is not None and for_command not in schemas:
        raise typer.BadParameter(unknown_name("a command", for_command, schemas))
    path = find_config(source)
    settings = read_config(path, overrides or ())
    name = for_command or fitting_command(settings, _stated_command(path))
    schema = schemas[name]()
    mistakes, missing = find_mistakes(schema, settings), []
    if not mistakes:
        config = load_config(schema, path, overrides or ())
        mistakes, missing = _contradictions(config), list(map(str, missing_inputs(config)))
    print(f"{path}: a configuration of `lorarar {name}`")
    _print_lines("mistake", mistakes)
    _print_lines("not there yet", missing)
    print(f"{len(mistakes)} mistakes" if mistakes else f"no mistakes, {len(missing)} inputs that are not there yet")
    return ExitCode.FAILED if mistakes else ExitCode.SUCCESS


def _contradictions(config: Any) -> list[str]:
    """Return the mistakes in the recipes of a zoo: settings that contradict each other or do not fit the base."""
    import lorarar.workflows as workflows

    if not isinstance(config, workflows.ZooConfig):
        return []
    return list(workflows.find_zoo_mistakes(config)) or list(workflows.find_layer_mistakes(config))


def _stated_command(path: Path) -> str:
    """Return the command that a shipped file states, else the name of a file's folder, which may be one."""
    from lorarar.storage import list_configs

    return next(
        (config.command.partition("|")[0] for config in list_configs() if config.path == path), path.parent.name
    )


def _print_lines(label: str, lines: Sequence[str]) -> None:
    for line in lines:
        print(f"  {label}: {line}")
