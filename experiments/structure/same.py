"""Run two checkouts beside each other and compare what they make, tensor by tensor and number by number.

    python experiments/structure/same.py BEFORE AFTER [--only PART ...] [--output FILE.json] [--keep FOLDER]

Ends with code 1 if anything differs. README.md lists the parts and their times.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cases import PARTS, Case
from comparison import Difference, Side, compare_outputs, compare_unnamed, compare_values
from inputs import write_configurations, write_shared
from layouts import Checkout, Result

_NAMES = ("before", "after")
_WIDTH = 300  # of a note in the table; the JSON file has all of it


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        part: the part that it belongs to.
        what: what was compared.
        same: whether nothing differs.
        largest: the largest absolute difference of two numbers; None where something else differs.
        note: where they differ, else how many files and printed texts were compared.
    """

    part: str
    what: str
    same: bool
    largest: float | None
    note: str


def main(words: Sequence[str] | None = None) -> int:
    """Compare the parts that were asked for, print a table and write it."""
    arguments = _parser().parse_args(words)
    with tempfile.TemporaryDirectory() as temporary:
        rows = list(compare(arguments.before, arguments.after, arguments.only, arguments.keep or Path(temporary)))
    same = sum(row.same for row in rows)
    print(f"{same} of {len(rows)} comparisons are the same")
    if arguments.output:
        arguments.output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return int(same < len(rows))


def compare(before: Path, after: Path, parts: Sequence[str], work: Path) -> Iterator[Row]:
    """Compare parts and yield a row for each case as soon as it is known."""
    checkouts = [Checkout(before.resolve()), Checkout(after.resolve())]
    shared = work.resolve() / "shared"
    write_shared(checkouts[0], shared)
    for part in parts:
        start, cases = time.perf_counter(), PARTS[part](shared)
        sides = [_side(c, work.resolve() / part / name, shared) for c, name in zip(checkouts, _NAMES, strict=True)]
        commands = [command for case in cases for command in case.commands]
        results = [iter(side.checkout.run(commands, side.folder)) for side in sides]
        for case in cases:
            answers = [[next(side_results) for _ in case.commands] for side_results in results]
            row = _row(part, case, sides, answers)
            print(f"{'same' if row.same else 'DIFFERS':8} {row.what}: {row.note[:_WIDTH]}", flush=True)
            yield row
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)


def _side(checkout: Checkout, folder: Path, shared: Path) -> Side:
    """A working directory with the checkout's data, the shared inputs and configurations in its spelling."""
    checkout.link_into(folder)
    (folder / "shared").symlink_to(shared)
    (folder / "out").mkdir()
    write_configurations(checkout, folder)
    return Side.at(checkout, folder)


def _row(part: str, case: Case, sides: Sequence[Side], answers: Sequence[Sequence[Result]]) -> Row:
    difference, count, reworded = Difference(), 0, 0
    for command, before, after in zip(case.commands, *answers, strict=True):
        count += _compare_answers(sides, command, (before, after), difference, may_fail=case.may_fail)
        reworded += bool(before.code) and before.stderr.splitlines()[-1:] != after.stderr.splitlines()[-1:]
    count += sum(compare_outputs(sides, pattern, difference) for pattern in case.outputs)
    count += sum(compare_unnamed(sides, pattern, difference) for pattern in case.unnamed)
    if not count and not case.may_fail:
        difference.add("there is nothing to compare")
    same = not difference.notes
    equal = f"outputs compared: {count}" + (f", error messages in other words: {reworded}" if reworded else "")
    largest = difference.largest if math.isfinite(difference.largest) else None
    return Row(part, case.what, same, largest, equal if same else difference.describe())


def _compare_answers(
    sides: Sequence[Side], command: Sequence[str], answers: Sequence[Result], difference: Difference, *, may_fail: bool
) -> int:
    """Compare exit codes, and what a command printed if it printed JSON; return how many texts were compared."""
    before, after = answers
    if before.code != after.code or (before.code and not may_fail):
        said = next((answer.stderr.strip().splitlines()[-1:] for answer in (after, before) if answer.code), [])
        difference.add(f"{command[0]} ended with {before.code} before, {after.code} after: {' '.join(said)}")
    elif not before.code and "--json" in command:
        one, two = (side.canonical(json.loads(answer.stdout)) for side, answer in zip(sides, answers, strict=True))
        compare_values(one, two, command[0], difference)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("before", type=Path, help="a checkout of the repository")
    parser.add_argument("after", type=Path, help="another checkout")
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file for the rows")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="an empty folder for everything that the runs write"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
