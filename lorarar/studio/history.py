"""History: the results of a folder, each with its choices and its provenance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorarar.storage import json_line
from lorarar.studio.choices import Choices

_FILE = "results.jsonl"


@dataclass(frozen=True)
class Result:
    """A merged file and how it was made.

    Attributes:
        file: The file.
        time: When it was written, UTC.
        inputs: The files that it was merged from, in order.
        choices: What the page held.
        command: The equal command line.
        method: Name of the merger.
        sources: Name and SHA-256 of each input.
        bytes: Size of the file.
        error: Relative error of the truncation; None without one.
    """

    file: str
    time: str
    inputs: tuple[str, ...]
    choices: Choices
    command: str
    method: str
    sources: tuple[tuple[str, str], ...]
    bytes: int
    error: float | None = None

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return Path(self.file).stem


def add_result(folder: Path, result: Result) -> None:
    """Append a result to the history of a folder."""
    with open(folder / _FILE, "a", encoding="utf-8") as file:
        file.write(json_line(asdict(result)))


def read_results(folder: Path) -> list[Result]:
    """Return the results of a folder whose files are still there, the newest first; damaged lines are left out."""
    path = folder / _FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    results = [result for line in lines if (result := _read(line)) and Path(result.file).is_file()]
    return list({result.file: result for result in results}.values())[::-1]


def new_result(job_inputs: Sequence[str], choices: Choices, command: str, summary: Any) -> Result:
    """Return the result of a merge.

    Args:
        job_inputs: The files that were merged, in order.
        choices: What the page held.
        command: The equal command line.
        summary: The `lorarar.mergers.MergeSummary`.
    """
    file = Path(summary["files"][0])
    return Result(
        file=str(file),
        time=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        inputs=tuple(job_inputs),
        choices=choices,
        command=command,
        method=summary["method"]["name"],
        sources=tuple((entry["file"], entry["sha256"]) for entry in summary["inputs"]),
        bytes=file.stat().st_size,
        error=summary["truncation"] and summary["truncation"]["error"],
    )


def free_name(folder: Path, name: str) -> Path:
    """Return a file of this name that does not exist yet: "merged", then "merged-2".

    Args:
        folder: Folder of the results.
        name: Wished name; what cannot stand in a name of a file becomes "-".
    """
    clean = "".join(letter if letter.isalnum() or letter in "-_+. " else "-" for letter in name).strip(" .") or "merged"
    clean = clean.removesuffix(".safetensors")[:100]
    paths = (folder / f"{clean}{'' if number == 1 else f'-{number}'}.safetensors" for number in range(1, 10_000))
    return next(path for path in paths if not path.exists())


def _read(line: str) -> Result | None:
    try:
        values = json.loads(line)
        pairs = tuple((name, sha256) for name, sha256 in values["sources"])
        choices = Choices.from_dict(values["choices"])
        return Result(**{**values, "inputs": tuple(values["inputs"]), "choices": choices, "sources": pairs})
    except (ValueError, KeyError, TypeError):
        return None
