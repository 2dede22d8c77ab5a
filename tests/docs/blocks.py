"""Code blocks of Markdown pages: how they are found, and what a comment before a block says of it.

`<!-- not run: REASON -->` on the line before a block: its commands are parsed, not run.
`<!-- output -->` on the line before a block: the block is what the commands of the previous block print.
A fence with title="FILE": the block is a file of this name, which later blocks use; it is written, not run.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r'^ *(?P<fence>```+)(?P<language>[\w-]*)(?:.*title="(?P<title>[^"]+)")?.*$')
_NOT_RUN = re.compile(r"<!--\s*not run:\s*(.+?)\s*-->")
_OUTPUT = re.compile(r"<!--\s*output\s*-->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The file.
        line: The number of the fence's line, from 1.
        language: The word behind the fence, such as sh; "" where there is none.
        text: The lines between the fences, without their common indentation.
        reason: Why it is not run, or None.
        output: Whether it is what the previous block prints.
        title: The file that it is, or None.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None
    output: bool
    title: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return the README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order.

    Raises:
        ValueError: A block is not closed.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    blocks: list[Block] = []
    start, opened = 0, None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if not fence:
            continue
        if opened is None:
            start, opened = number, fence
        elif not fence["language"] and fence["fence"] == opened["fence"]:
            blocks.append(_block(page, lines, start, number, opened))
            opened = None
    if opened is not None:
        raise ValueError(f"{page}:{start + 1}: a block that is not closed")
    return blocks


def _block(page: Path, lines: list[str], start: int, end: int, fence: re.Match[str]) -> Block:
    before = next((line for line in reversed(lines[:start]) if line.strip()), "")
    reason = _NOT_RUN.search(before)
    text = textwrap.dedent("\n".join(lines[start + 1 : end])) + "\n"
    output = bool(_OUTPUT.search(before))
    return Block(page, start + 1, fence["language"], text, reason[1] if reason else None, output, fence["title"])


def commands(text: str) -> list[list[str]]:
    """Return the words of each command of a shell block; comments and the signs of continuation are gone.

    A command behind `&&` or `|` is one of its own.
    """
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = shlex.split(line, comments=True)
        command: list[str] = []
        for word in [*words, "&&"]:
            if word in ("&&", "|", ";"):
                if command:
                    found.append(command)
                command = []
            else:
                command.append(word)
    return found


def same_output(expected: str, printed: str) -> str:
    """Return how a page's output differs from what was printed; "" where it does not.

    Times ("12 ms", "0.3 s") may differ, and so may the folder before a path of the package. A line "..." stands for any
    lines.
    """
    wanted = [_comparable(line) for line in expected.strip().splitlines()]
    lines = [_comparable(line) for line in printed.strip().splitlines()]
    for i, part in enumerate(_parts(wanted)):
        position = _find(part, lines)
        if position is None or (i == 0 and position > 0):
            return f"expected the lines\n{chr(10).join(part)}\nfound\n{chr(10).join(lines)}"
        lines = lines[position + len(part) :]
    return "" if wanted[-1:] == ["..."] or not lines else f"did not expect the lines\n{chr(10).join(lines)}"


def _comparable(line: str) -> str:
    line = re.sub(r"\S*/(?=lorarar/\w+/networks/)", "", line)
    return re.sub(r"\b\d+(\.\d+)? (ms|s)\b", r"TIME \2", line.rstrip())


def _parts(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def _find(part: list[str], lines: list[str]) -> int | None:
    return next((i for i in range(len(lines) - len(part) + 1) if lines[i : i + len(part)] == part), None)
