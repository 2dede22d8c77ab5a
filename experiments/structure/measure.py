"""Measure the package of a checkout, of the old layout or of the new one.

    python experiments/structure/measure.py CHECKOUT [--map FILE] [--json FILE] [--still]

FILE of --map is a table with the columns "old path" and "new path"; it says in which room a file of the old layout
belongs. With --still nothing of the checkout is run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inputs import CONTENT, NETWORK, STYLE, TRAINED, few_steps, write_configurations
from layouts import Checkout
from source import Module, comments_in, definitions, functions_in, imports_of, read_package

# Each room may import those before it.
ORDER = (
    *("storage", "lora", "formats", "hypernetwork", "mergers", "datasets", "evaluation", "diffusion", "training"),
    *("library", "analogies", "worlds", "workflows", "benchmark", "studio", "cli"),
)
ROOT = "root"  # of the package
LONG, TOO_LONG = 40, 60  # lines of a function
TEXTS = frozenset({".pyi", ".jinja", ".html", ".css", ".js", ".svg", ".yaml", ".yml", ".json", ".toml", ".txt", ".md"})
RUNS = 5
_ROWS = ({"name": "direct", "kind": "merger", "source": "direct"}, {"name": "base", "kind": "base"})


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures as JSON; write them, and what lies behind the counts."""
    parser = argparse.ArgumentParser(description="Measure the package of a checkout.")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--map", type=Path, metavar="FILE", help="table: old path, new path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the figures")
    parser.add_argument("--still", action="store_true", help="measure the source alone, run nothing")
    arguments = parser.parse_args(words)
    checkout = Checkout(arguments.checkout.resolve())
    figures = measure_source(checkout, read_map(arguments.map) if arguments.map else {})
    if not arguments.still:
        figures |= measure_runs(checkout)
    print(json.dumps({name: value for name, value in figures.items() if name != "details"}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def read_map(path: Path) -> dict[str, str]:
    """Old path -> new path. What follows the first word of a column is a remark."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row[0].split()[0]: row[1].split()[0] for row in rows if row[0].endswith(".py")}


def measure_source(checkout: Checkout, moved: dict[str, str]) -> dict[str, Any]:
    """What can be read off the files."""
    package = checkout.root / "lorarar"
    modules = read_package(package)
    if not checkout.is_old:
        moved = {}  # its files are in their places
    places = {module.path: moved.get(module.path, module.path) for module in modules}
    lines = sum(module.lines for module in modules)
    arrows, twice = upward(modules, places), defined_twice(modules)
    return {
        "layout": "old" if checkout.is_old else "new",
        "modules_at_the_root": sum(m.path.count("/") == 1 and m.stem != "__init__" for m in modules),
        "rooms": len({m.path.split("/")[1] for m in modules if m.path.count("/") > 1}),
        "lines": lines,
        "lines_of_code": sum(m.code_lines for m in modules),
        "lines_of_docstrings": sum(m.docstring_lines for m in modules),
        "lines_by_room": lines_by_room(modules, places),
        "lines_of_other_files": other_lines(package),
        "arrows_that_point_up": len(arrows),
        "longest_file": max((m.lines, m.path) for m in modules),
        **measure_functions(modules),
        "comprehensions_per_100_lines": round(100 * sum(m.comprehensions for m in modules) / lines, 2),
        "comment_lines_per_100_lines": round(100 * sum(comments_in(m.text) for m in modules) / lines, 2),
        "names_defined_twice": len(twice),
        "details": {
            "arrows_that_point_up": arrows,
            "names_defined_twice": twice,
            "files_without_a_new_path": sorted(m.path for m in modules if moved and m.path not in moved),
        },
    }


def lines_by_room(modules: Sequence[Module], places: dict[str, str]) -> dict[str, int]:
    """Lines of Python in each room, in the order of the rooms."""
    counts: Counter[str] = Counter()
    for module in modules:
        counts[room_of(places[module.path])] += module.lines
    return {room: counts[room] for room in sorted(counts, key=lambda room: (rank(room), room))}


def other_lines(package: Path) -> dict[str, int]:
    """Lines of templates, styles, configurations and the like, by suffix."""
    counts: Counter[str] = Counter()
    for file in package.rglob("*"):
        if file.suffix in TEXTS:
            counts[file.suffix] += len(file.read_text(encoding="utf-8").splitlines())
    return dict(sorted(counts.items()))


def upward(modules: Sequence[Module], places: dict[str, str]) -> list[str]:
    """Imports of a file in a room to the right, each pair of files once; those in functions count too."""
    known = {module.path for module in modules}
    arrows = set()
    for module in modules:
        for target in imports_of(module, known):
            here, there = (room_of(places[path]) for path in (module.path, target))
            if ROOT not in (here, there) and rank(there) > rank(here):
                arrows.add(f"{module.path} ({here}) -> {target} ({there})")
    return sorted(arrows)


def room_of(path: str) -> str:
    """The room of a file of the new layout, or `ROOT`."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else ROOT


def rank(room: str) -> int:
    """A room's place in `ORDER`; the root and folders that are no rooms come last."""
    return ORDER.index(room) if room in ORDER else len(ORDER)


def measure_functions(modules: Sequence[Module]) -> dict[str, Any]:
    """Lengths of functions and methods, decorators left out."""
    lengths = sorted(
        (length, f"{module.path}:{name}") for module in modules for name, length in functions_in(module.tree)
    )
    return {
        "functions": len(lengths),
        "longest_function": lengths[-1],
        "median_function_lines": statistics.median(length for length, _ in lengths),
        f"functions_over_{LONG}_lines": sum(length > LONG for length, _ in lengths),
        f"functions_over_{TOO_LONG}_lines": sum(length > TOO_LONG for length, _ in lengths),
    }


def defined_twice(modules: Sequence[Module]) -> dict[str, list[str]]:
    """Public top-level names that several files define, and these files."""
    homes: dict[str, list[str]] = {}
    for module in modules:
        for name in sorted(definitions(module.tree)):
            homes.setdefault(name, []).append(module.path)
    return {name: paths for name, paths in sorted(homes.items()) if len(paths) > 1}


def measure_runs(checkout: Checkout) -> dict[str, Any]:
    """What only running the package tells: times, files opened, functions called."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve() / "work"
        checkout.link_into(folder)
        (folder / "out").mkdir()
        write_configurations(checkout, folder, rows=_ROWS, judge=None)
        return {**measure_start(checkout, folder), **measure_paths(checkout, folder)}


def measure_start(checkout: Checkout, folder: Path) -> dict[str, Any]:
    """Seconds of `lorarar merge --help` and of importing torch, medians of alternating runs, and their ratio."""
    calls = {"merge_help": ["-P", "-m", "lorarar.cli", "merge", "--help"], "import_torch": ["-c", "import torch"]}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(RUNS + 1):
        for name, words in calls.items():
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, *words], cwd=folder, env=checkout.environment(), capture_output=True, check=True
            )
            if turn:  # the first one writes byte code and fills the disk's cache
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "start_over_import_of_torch": round(medians["merge_help"] / medians["import_torch"], 3),
        "start_seconds": {name: round(value, 2) for name, value in medians.items()},
    }


def measure_paths(checkout: Checkout, folder: Path) -> dict[str, Any]:
    """Functions and files on the path of four commands, and how often a merge opens its inputs.

    A call of safetensors' `safe_open` counts as one opening.
    """
    commands = {
        "merge": ("merge", CONTENT, STYLE, "-o", "out/merged.safetensors"),
        "train": ("train", TRAINED, *few_steps(), "runs=out/train", "wandb=disabled"),
        "benchmark quality --plan": ("benchmark", "quality", "--plan", "configs/benchmark/quality.yaml"),
        "benchmark quality": ("benchmark", "quality", "quality.yaml"),
    }
    traces = {name: checkout.trace(command, folder) for name, command in commands.items()}
    inputs = {"network": checkout.spell(NETWORK), "content": CONTENT, "style": STYLE}
    opened = {role: traces["merge"].opened.get(str((folder / file).resolve()), 0) for role, file in inputs.items()}
    return {
        "opened_in_a_merge": opened,
        "on_the_path": {
            name: {"functions": len(t.functions), "files": len(t.files), "files_imported": len(t.modules)}
            for name, t in traces.items()
        },
    }


if __name__ == "__main__":
    main()
