"""Start-up times as ratios, measured side by side; from a clone to a first merged file against installing torch.

python experiments/startup/measure.py commands --before CHECKOUT [--repetitions 15]
python experiments/startup/measure.py install [--repetitions 1]
python experiments/startup/measure.py fill      # the tables of README.md, from the results

Every round runs each command once, in an order drawn anew, so that other work on the machine meets all of them. Results
are ratios within a round: seconds of one machine would say nothing of another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAIR = ("data/embedded/loras/test_content_01.safetensors", "data/embedded/loras/test_style_02.safetensors")
ENTRY = "from lorarar.cli.main import entry; entry()"
TORCH = "import torch"
SEED = 0


class Command(NamedTuple):
    """A command that is timed.

    Attributes:
        words: The arguments of Python.
        code: The exit code that it must end with.
        checkout: Whose package it runs.
    """

    words: tuple[str, ...]
    code: int = 0
    checkout: Path = ROOT


def commands(before: Path | None, folder: Path) -> dict[str, Command]:
    """Return what is timed, by name; `before` adds the merge of an older checkout."""
    merge = ("-c", ENTRY, "merge", *(str(ROOT / name) for name in PAIR), "-o")
    timed = {
        TORCH: Command(("-c", TORCH)),
        "lorarar --help": Command(("-c", ENTRY, "--help")),
        "lorarar merge --help": Command(("-c", ENTRY, "merge", "--help")),
        "lorarar train --help": Command(("-c", ENTRY, "train", "--help")),
        "an argument error": Command(("-c", ENTRY, "merge", "--no-such-option"), code=2),
        "a merge": Command((*merge, str(folder / "after.safetensors"))),
    }
    if before is not None:
        timed["a merge, before"] = Command((*merge, str(folder / "before.safetensors")), checkout=before)
    return timed


def seconds(command: Command, folder: Path) -> float:
    """Run a command in an empty folder and return how long it took.

    Raises:
        RuntimeError: It ended with another exit code than expected.
    """
    for old in folder.glob("*.safetensors"):
        old.unlink()
    environment = {**os.environ, "PYTHONPATH": str(command.checkout), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, *command.words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    taken = time.perf_counter() - start
    if result.returncode != command.code:
        raise RuntimeError(f"expected exit code {command.code} of {command.words}, got {result}")
    return taken


def rounds(timed: Mapping[str, Callable[[], float]], repetitions: int, warm_ups: int = 1) -> list[dict[str, float]]:
    """Time everything once a round, in an order drawn anew; the first rounds, which fill the caches, do not count."""
    order, drawn = list(timed), random.Random(SEED)
    taken = []
    for _ in range(warm_ups + repetitions):
        drawn.shuffle(order)
        times = {name: timed[name]() for name in order}
        taken.append({name: times[name] for name in timed})
    return taken[warm_ups:]


def ratio(taken: Sequence[Mapping[str, float]], name: str, against: str, resamples: int = 10_000) -> dict[str, Any]:
    """Return the median ratio of two times within a round, with its 95 % bootstrap interval over rounds."""
    ratios = [times[name] / times[against] for times in taken]
    drawn = random.Random(SEED)
    medians = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(resamples))
    low, high = medians[int(0.025 * resamples)], medians[int(0.975 * resamples) - 1]
    return {"what": name, "against": against, "median": statistics.median(ratios), "low": low, "high": high}


def measure_commands(before: Path | None, repetitions: int) -> dict[str, Any]:
    """Time the commands; every one against `import torch`, and the merge against the older checkout's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed = {key: partial(seconds, command, folder) for key, command in commands(before, folder).items()}
        taken = rounds(timed, repetitions)
    found = [ratio(taken, key, TORCH) for key in timed if key != TORCH]
    if before is not None:
        found.append(ratio(taken, "a merge", "a merge, before"))
    return {**conditions(repetitions), "before": commit(before) if before else None, "ratios": found}


def measure_install(repetitions: int) -> dict[str, Any]:
    """Time the way from a clone of the last commit to a merged file, against an environment with torch alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed = {
            "clone, make install, merge": lambda: to_first_merge(folder / "clone"),
            "torch": lambda: torch_alone(folder / "torch"),
        }
        taken = rounds(timed, repetitions, warm_ups=0)
    return {**conditions(repetitions), "ratios": [ratio(taken, *timed)]}


def to_first_merge(clone: Path) -> float:
    """Return the seconds of cloning, `make install` and a merge by the shipped network."""
    start = time.perf_counter()
    run("git", "clone", "--quiet", "--no-local", str(ROOT), str(clone))
    run("make", "install", folder=clone)
    run(".venv/bin/lorarar", "merge", *PAIR, "-o", "merged.safetensors", folder=clone)
    taken = time.perf_counter() - start
    shutil.rmtree(clone)
    return taken


def torch_alone(environment: Path) -> float:
    """Return the seconds of a new environment with torch alone, in the version of constraints.txt."""
    start = time.perf_counter()
    run(sys.executable, "-m", "venv", str(environment))
    pin = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    run(str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", pin)
    taken = time.perf_counter() - start
    shutil.rmtree(environment)
    return taken


def run(*words: str, folder: Path = ROOT) -> None:
    """Run a program with pip's cache off, which one side would fill for the other."""
    subprocess.run(words, cwd=folder, env={**os.environ, "PIP_NO_CACHE_DIR": "1", "PYTHONPATH": ""}, check=True)


def commit(checkout: Path) -> str:
    """Return the short name of a checkout's commit, with "-dirty" where files differ from it."""
    words = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def conditions(repetitions: int) -> dict[str, Any]:
    """Return what the ratios depend on: versions, kind of machine, date, seed."""
    return {
        "date": date.today().isoformat(),
        "seed": SEED,
        "repetitions": repetitions,
        "machine": f"{platform.system()}, {platform.machine()}, {os.cpu_count()} CPU cores",
        "python": platform.python_version(),
        "torch": version("torch"),
        "after": commit(ROOT),
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the ratios as a Markdown table, with the conditions below."""
    lines = ["| time of | over that of | median ratio | 95 % interval |", "|---|---|---|---|"]
    for each in results["ratios"]:
        interval = f"{each['low']:.2f} to {each['high']:.2f}" if results["repetitions"] > 1 else "one round"
        lines.append(f"| {each['what']} | {each['against']} | {each['median']:.2f} | {interval} |")
    versions = f"Python {results['python']}, torch {results['torch']}, {results['machine']}"
    before = f", before: {results['before']}" if results.get("before") else ""
    return "\n".join([*lines, "", f"{results['date']}, n = {results['repetitions']}, {versions}{before}.", ""])


def fill() -> None:
    """Write the tables of README.md between their marks."""
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    for part in ("commands", "install"):
        results = HERE / f"{part}.json"
        if results.exists():
            start, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
            head, _, rest = text.partition(start)
            text = head + start + table(json.loads(results.read_text(encoding="utf-8"))) + end + rest.partition(end)[2]
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure one part and write its results beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("commands", "install", "fill"))
    parser.add_argument("--before", type=Path, help="older checkout, whose merge is timed too")
    parser.add_argument("--repetitions", type=int, help="rounds that count; default: 15 of commands, 1 of install")
    words = parser.parse_args()
    if words.part != "fill":
        if words.part == "commands":
            results = measure_commands(words.before and words.before.resolve(), words.repetitions or 15)
        else:
            results = measure_install(words.repetitions or 1)
        (HERE / f"{words.part}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    fill()


if __name__ == "__main__":
    main()
