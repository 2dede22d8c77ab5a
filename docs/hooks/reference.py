"""Generated parts of the reference: commands, mergers, configurations, exit codes, networks and rooms.

`generate("mergers")` returns a part as Markdown. Every part comes from what the package itself reads, so the reference
cannot differ from the program.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lorarar.cli.commands import GENERAL
from lorarar.cli.exit_codes import MEANINGS
from lorarar.cli.help import by_section, panel_of
from lorarar.cli.main import commands as all_commands
from lorarar.mergers import LEAVES, MERGERS, describe_merger
from lorarar.storage import EMBEDDED, EMBEDDED_DESCRIBER, EMBEDDED_JUDGE, NETWORKS, config_keys, shipped_configs

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lorarar"
# Kinds of configurations: the folder in configs/, or a single file that has a kind of its own.
SCHEMAS = {
    "train": ("lorarar.workflows", "TrainConfig"),
    "zoo": ("lorarar.workflows", "ZooConfig"),
    "dreambooth": ("lorarar.workflows", "ZooConfig"),
    "metrics": ("lorarar.evaluation.metrics", "MetricsConfig"),
    "benchmark": ("lorarar.benchmark.quality", "QualityConfig"),
    "benchmark/gates": ("lorarar.benchmark", "GatesConfig"),
    "world": ("lorarar.worlds.stages", "WorldConfig"),
    "world/drawings": ("lorarar.worlds.art", "AtlasConfig"),
    "analogies": ("lorarar.analogies", "AnalogyConfig"),
    "analogies/base": ("lorarar.worlds.stages", "EditorConfig"),
    "analogies/evaluate": ("lorarar.benchmark.analogies", "AnswersConfig"),
    "judge": ("lorarar.worlds.toy.judge", "TinyJudgeConfig"),
    "judge/describer": ("lorarar.worlds.toy.judge", "DescriberConfig"),
}
CONFIGURED = {
    "lorarar train": "train",
    "lorarar zoo": "zoo",
    "lorarar synthesise": "zoo",
    "lorarar benchmark zoo": "zoo",
    "lorarar dreambooth": "dreambooth",
    "lorarar metrics": "metrics",
    "lorarar benchmark quality": "benchmark",
    "lorarar benchmark gates": "benchmark/gates",
    "lorarar world concepts": "world",
    "lorarar world classifier": "world",
    "lorarar world autoencoder": "world",
    "lorarar world base": "world",
    "lorarar world drawings": "world/drawings",
    "lorarar analogy base": "analogies/base",
    "lorarar analogy train": "analogies",
    "lorarar analogy evaluate": "analogies/evaluate",
    "lorarar judge train-tiny": "judge",
    "lorarar judge train-describer": "judge/describer",
}


def generate(part: str) -> str:
    """Return a generated part of the reference as Markdown.

    Args:
        part: Name of the part, and what it needs: "mergers", "room lora".

    Raises:
        ValueError: No part has the name.
    """
    name, *arguments = part.split()
    if name not in PARTS:
        raise ValueError(f"expected a generated part out of {', '.join(PARTS)}, found {name!r}")
    return PARTS[name](*arguments)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; vertical bars in cells are escaped."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    lines += ["| " + " | ".join(map(escape_bars, row)) + " |" for row in rows]
    return "\n".join(lines)


def escape_bars(cell: str) -> str:
    """Return a cell of a table without vertical bars; in code, Markdown has no escape for them."""
    code = re.compile(r"`([^`]*\|[^`]*)`")
    return code.sub(lambda match: f"<code>{escape(match[1])}</code>", cell).replace("|", "&#124;")


def one_line(text: str) -> str:
    """Return a text as one line, as a table's cell needs it."""
    return " ".join(text.split())


def mergers() -> str:
    """Return every merger."""
    rows = []
    for info in MERGERS.values():
        row = describe_merger(info.name)
        options = ", ".join(f"`{key}={value:g}`" for key, value in info.options.items())
        facts = (info.kind, row.takes, row.needs, row.leaves, options or "none", info.citation)
        rows.append((f"`{info.name}`", f"{row.does} `{row.formula}`", *facts))
    header = ("name", "what it does", "kind", "LoRAs", "needs", "leaves", "options and defaults", "source")
    leaves = [f"* *{word}*: {text}." for word, text in LEAVES.items()]
    return "\n".join([table(header, rows), "", "What a method leaves:", "", *leaves])


def networks() -> str:
    """Return the networks that the package ships, from their cards."""
    rows = []
    for path in sorted(NETWORKS.glob("*.card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        for name, sha256 in card["sha256"].items():
            rows.append(
                (
                    f"`{name}`",
                    str(card.get("default_for", "")),
                    f"`{card['config'][0]}`",
                    card["date"],
                    f"`{sha256[:16]}`",
                )
            )
    header = ("file", "default for the family", "trained by", "date", "SHA-256, first 16 digits")
    return table(header, rows)


def cards() -> str:
    """Return the other artefacts that come along: judge and describer of the package, and those of the repository."""
    rows = []
    inside = [folder.with_suffix(".card.json") for folder in (EMBEDDED_JUDGE, EMBEDDED_DESCRIBER)]
    for path in (*inside, *sorted(EMBEDDED.glob("*.card.json"))):
        card = json.loads(path.read_text(encoding="utf-8"))
        weights = {name: sha256 for name, sha256 in card["sha256"].items() if name.endswith(".safetensors")}
        hashes = ", ".join(f"`{sha256[:16]}`" for sha256 in weights.values())
        rows.append((f"`{path.relative_to(ROOT).as_posix()}`", card["what"], card["date"], hashes))
    return table(("card", "what", "date", "SHA-256 of the weights, first 16 digits"), rows)


def stub_names(folder: Path) -> list[str]:
    """Return the public names of a room, from its stub."""
    tree = ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [alias.asname or alias.name for node in imports for alias in node.names]


def docstring(folder: Path) -> str:
    """Return the docstring of a room."""
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""


def sub_rooms(folder: Path) -> list[Path]:
    """Return a room and its sub-rooms that have public names."""
    stubs = sorted(folder.rglob("__init__.pyi"), key=lambda path: (len(path.parts), path))
    return [path.parent for path in stubs if stub_names(path.parent)]


def directives(module: str, names: Sequence[str]) -> list[str]:
    """Return mkdocstrings' directives for names of a module; constants, which have no docstring, share one line."""
    constants = [f"`{name}`" for name in names if name.isupper()]
    lines = [f"Constants: {', '.join(constants)}.", ""] if constants else []
    for name in names:
        if not name.isupper():
            lines += [f"::: {module}.{name}", "    options:", "      heading_level: 3", ""]
    return lines


def room(name: str) -> str:
    """Return the map of a room, and mkdocstrings' directives for its public names."""
    first, _, places = docstring(PACKAGE / name).partition("\n\n")
    lines = [first, "", map_of(places), ""]
    for folder in sub_rooms(PACKAGE / name):
        module = ".".join(folder.relative_to(ROOT).parts)
        lines += [f"## `{module}`", "", *directives(module, stub_names(folder))]
    return "\n".join(lines)


def map_of(places: str) -> str:
    """Return the map in a room's docstring as a table: a name, two spaces or more, and what is there."""
    rows: list[list[str]] = []
    for line in places.splitlines():
        name, _, what = line.partition("  ")
        if name:
            rows.append([f"`{name}`", what.strip()])
        elif rows:
            rows[-1][1] += f" {what.strip()}"
    return table(("file", "what"), rows)


def rooms(folder: str = "") -> str:
    """Return the rooms of the package in their order of import, each with a link to its page.

    Args:
        folder: Place of these pages relative to the page that lists the rooms, with a slash at its end.
    """
    map_of_rooms = docstring(PACKAGE).rpartition("\n\n")[2]
    rows = []
    for line in map_of_rooms.splitlines():
        name, _, what = line.partition(" ")
        page = ROOT / "docs" / "reference" / "python" / f"{name}.md"
        rows.append((f"[`{name}`]({folder}{name}.md)" if page.exists() else f"`{name}`", what.strip()))
    return table(("room", "what"), rows)


def commands() -> str:
    """Return every command with its usage, arguments and options."""
    group = all_commands()
    general = [p for p in group.params if p.rich_help_panel == GENERAL and p.name != "version"]
    lines = ["`lorarar --version` prints the version. Every command has these options:", "", options_table(general), ""]
    for name, command in group.commands.items():
        lines += command_lines(command, f"lorarar {name}", 2)
    return "\n".join(lines)


def command_lines(command: Any, name: str, level: int) -> list[str]:
    """Return a command as Markdown, a group with its commands below it.

    Args:
        command: A command of the command line.
        name: Its full name, such as "lorarar judge plan".
        level: Level of its heading.
    """
    lines = [f"{'#' * level} {name}", "", inspect.cleandoc(command.help or ""), ""]
    inner = getattr(command, "commands", {})
    if not inner:
        usage = " ".join([name, *command.collect_usage_pieces(None)])
        lines += ["```text", usage, "```", ""]
        for panel, parameters in by_panel(command.params).items():
            lines += [f"**{panel}**", "", options_table(parameters), ""]
    if name in CONFIGURED:
        folder = CONFIGURED[name]
        lines += [f"Keys of `CONFIG`: [{folder}](configurations.md#{anchor(folder)}).", ""]
    for each, sub_command in inner.items():
        lines += command_lines(sub_command, f"{name} {each}", level + 1)
    return lines


def by_panel(parameters: Iterable[Any]) -> dict[str, list[Any]]:
    """Return parameters by the panel of the help that they stand in, without the options of every command."""
    panels = by_section((panel_of(parameter), parameter) for parameter in parameters)
    return {panel: of_panel for panel, of_panel in panels if panel != GENERAL}


def options_table(parameters: Iterable[Any]) -> str:
    """Return parameters of a command with their help and defaults."""
    rows = []
    for parameter in parameters:
        is_option = parameter.opts[0].startswith("-")
        names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else ""
        value = f"`{parameter.metavar}`" if parameter.metavar else ""
        rows.append((f"{names} {value}".strip(), f"{one_line(parameter.help)} {default_text(parameter)}".strip()))
    return table(("option", "what"), rows)


def default_text(parameter: Any) -> str:
    """Return what a parameter is if it is not given: "Default: 50.", "Required." or nothing."""
    if parameter.required:
        return "Required."
    if isinstance(parameter.show_default, str):
        return f"Default: {parameter.show_default}."
    default = parameter.default
    return "" if default is None or isinstance(default, bool) else f"Default: `{default}`."


def configurations() -> str:
    """Return every configuration: its keys, and the shipped files."""
    lines = []
    for folder, (module, name) in SCHEMAS.items():
        schema = getattr(importlib.import_module(module), name)
        users = ", ".join(f"`{command}`" for command, of in CONFIGURED.items() if of == folder)
        lines += [f"## {folder} {{#{anchor(folder)}}}", "", f"For {users}.", "", shipped_table(folder), ""]
        same = next((each for each, of in SCHEMAS.items() if of == (module, name)), folder)
        if same != folder:
            lines += [f"It has the keys of [{same}](#{same}).", ""]
            continue
        rows = []
        for key in config_keys(schema):
            default = "required" if key.default == "required" else f"`{key.default}`"
            rows.append((f"`{key.name}`", key.type, default, one_line(key.text)))
        lines += [table(("key", "type", "default", "what"), rows), ""]
    return "\n".join(lines)


def anchor(kind: str) -> str:
    """Return the anchor of a kind of configurations."""
    return kind.replace("/", "-")


def shipped_table(folder: str) -> str:
    """Return the shipped configurations of a kind, with the first sentences of their comments."""
    rows = []
    for name, path in shipped_configs().items():
        kind = next((each for each in SCHEMAS if name == each), name.partition("/")[0])
        if kind == folder:
            rows.append((f"`{name}`", header(path)))
    return table(("shipped", "what"), rows)


def header(path: Path) -> str:
    """Return the first sentences of a configuration's comment, before its commands."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# ") or line.startswith("#   "):
            break
        lines.append(line.removeprefix("# "))
    return one_line(" ".join(lines))


def exit_codes() -> str:
    """Return every exit code with its meaning."""
    return table(("code", "meaning"), [(f"`{int(code)}`", text) for code, text in MEANINGS.items()])


def front() -> str:
    """Return mkdocstrings' directives for the public names of the package itself."""
    names = [name for name in stub_names(PACKAGE) if not (PACKAGE / name).is_dir()]
    return "\n".join(directives("lorarar", names))


PARTS: dict[str, Callable[..., str]] = {
    "cards": cards,
    "commands": commands,
    "configurations": configurations,
    "exit_codes": exit_codes,
    "front": front,
    "mergers": mergers,
    "networks": networks,
    "room": room,
    "rooms": rooms,
    "rooms_here": lambda: rooms("reference/python/"),
}
