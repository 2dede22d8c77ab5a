"""Write the table of figures before and after into README.md, from before.json and after.json.

python experiments/structure/fill.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
START, END = "<!-- figures -->\n", "<!-- /figures -->"
TITLES = {
    "modules_at_the_root": "modules at the root of the package, beside `__init__`",
    "rooms": "rooms",
    "lines": "lines of Python",
    "lines_of_code": "lines of code, without docstrings, comments and blank lines",
    "lines_of_docstrings": "lines of docstrings",
    "arrows_that_point_up": "pairs of files whose import points up",
    "names_defined_twice": "public names that are defined more than once",
    "functions": "functions",
    "median_function_lines": "lines of the median function",
    "functions_over_40_lines": "functions over 40 lines",
    "functions_over_60_lines": "functions over 60 lines",
    "comprehensions_per_100_lines": "comprehensions per 100 lines",
    "comment_lines_per_100_lines": "comment lines per 100 lines",
    "start_over_import_of_torch": "time of `lorarar merge --help` over that of `import torch`",
}


def rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each figure's title and its two values."""
    for key, title in TITLES.items():
        yield title, show(before[key]), show(after[key])
    for key, title in (("longest_function", "longest function, lines"), ("longest_file", "longest file, lines")):
        yield title, f"{before[key][0]:,}", f"{after[key][0]:,}"
    openings = [side["opened_in_a_merge"]["network"] for side in (before, after)]
    yield "openings of the network's file in a merge", *map(show, openings)
    for command in before["on_the_path"]:
        values = [side["on_the_path"][command] for side in (before, after)]
        yield f"functions, files on the path of `{command}`", *(f"{v['functions']}, {v['files']}" for v in values)
    for room in after["lines_by_room"]:
        yield f"lines of {room}", *(show(side["lines_by_room"].get(room, 0)) for side in (before, after))


def show(number: float) -> str:
    """Return a count with separators, or a ratio as it is."""
    return f"{number:,}"


def table() -> str:
    """Return the table as Markdown."""
    before, after = (json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) for name in ("before", "after"))
    lines = ["| figure | before | after |", "|---|---|---|"]
    lines += [f"| {title} | {old} | {new} |" for title, old, new in rows(before, after)]
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """Return the README with the table of today's figures."""
    head, _, rest = text.partition(START)
    return head + START + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    readme = HERE / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8")), encoding="utf-8")
