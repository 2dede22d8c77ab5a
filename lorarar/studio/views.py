"""Views: HTML of cards, heat maps, progress, results and votes. All text is escaped by the templates."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import Axis
from lorarar.evaluation.report import render_page
from lorarar.formats.inspection import Report
from lorarar.mergers import describe_merger
from lorarar.studio.actions import Overview, Saved, SizeRow
from lorarar.studio.blind import LAYOUT, BlindPair, Tally
from lorarar.studio.choices import GOALS
from lorarar.studio.history import Result
from lorarar.studio.work import State
from lorarar.workflows import BlockCollision, LoRAFacts

_LEAST_SCALE = 0.2  # cosine of the strongest colour where all are smaller: noise must not look like a collision
_SIGNS = 0.2  # share of the scale from which a tile has a word
_HIGH_SHARE = 2.0  # times chance from which two LoRAs listen to the same inputs
_QUESTIONS: Mapping[Axis, str] = {
    "content": "Which image shows the subject right?",
    "style": "Which image has the style right?",
}


@dataclass(frozen=True)
class Tile:
    """A block of the heat map: strength of its colour 0 to 10, side, and text."""

    block: str
    cosine: float
    strength: int
    side: str
    shared: str


def file_card(number: int, report: Report, facts: LoRAFacts | None) -> str:
    """Return the card of a file.

    Args:
        number: Its place, from 0.
        report: The report.
        facts: What the recommendation says of it; None without one.
    """
    kind = facts.kind if facts else ""
    ranks = [int(rank) for rank in report.ranks]
    return _render(
        "file.html.jinja",
        number=number + 1,
        name=Path(report.file).stem,
        family=report.family_label if report.family else "",
        kind=kind,
        source=facts.source if facts else "",
        triggers=report.triggers,
        ranks=(f"{min(ranks)} to {max(ranks)}" if len(set(ranks)) > 1 else str(*ranks[:1])) if ranks else "none",
        length=f"{report.norm:.3g}",
        size=format_bytes(report.bytes),
        layers=report.layers,
        algorithms=", ".join(report.algorithms),
        warnings=[plain_words(text) for text in report.warnings],
    )


def overview(files: Overview) -> str:
    """Return the heat map of each pair and what is recommended, or why the files do not go together."""
    found = files.recommendation
    pairs = [
        {
            "names": [Path(file).stem for file in meeting.files],
            "cosine": meeting.cosine,
            "ratio": meeting.ratio,
            "tiles": heat_tiles(meeting.blocks),
        }
        for meeting in (found.collisions if found else ())
    ]
    return _render(
        "overview.html.jinja",
        problem=plain_words(files.problem),
        pairs=pairs,
        reasons=[plain_words(text) for text in found.reasons] if found else [],
        method=found.method if found else "",
    )


def heat_tiles(blocks: Sequence[BlockCollision]) -> list[Tile]:
    """Return the tiles of a heat map, in the order of the blocks' names.

    Args:
        blocks: How two LoRAs meet in each block.
    """
    scale = max([_LEAST_SCALE, *(abs(part.cosine) for part in blocks)])
    tiles = []
    for part in sorted(blocks, key=lambda part: _natural(part.block)):
        share = part.cosine / scale
        side = "" if abs(share) < _SIGNS else "add up" if share > 0 else "oppose"
        shared = ""
        if part.inputs is not None and part.by_chance:
            shared = "shared" if part.inputs > _HIGH_SHARE * part.by_chance else "apart"
        tiles.append(Tile(part.block, part.cosine, round(10 * abs(share)), side, shared))
    return tiles


def method_text(goal: str, merger: str) -> str:
    """Return what a method does, by its own description."""
    name = merger or GOALS[goal]
    texts = {
        "fast": "Needs the two files and nothing else. A trained network weighs every layer where one fits your files; "
        "else a rule brings both to a similar strength and adds them.",
        "base": "Runs each LoRA once on your base model and keeps what each one does to it.",
        "images": "Optimises the merge on your base model with a few images of each concept. Takes minutes to hours.",
        "words": "Optimises the merge on your base model until it draws what your two sentences say.",
    }
    text = describe_merger(name).does if merger and name else texts[goal]
    return _render("note.html.jinja", text=text, method=name or "")


def progress_bar(state: State | None) -> str:
    """Return the progress of the work; "" without any."""
    return _render("progress.html.jinja", state=state) if state else ""


def message(text: str, kind: str = "bad") -> str:
    """Return a message; "" for none.

    Args:
        text: What is said.
        kind: "bad", "warn" or "good".
    """
    return _render("message.html.jinja", text=plain_words(text), kind=kind) if text else ""


def sheet_image(path: Path, text: str) -> str:
    """Return a picture of a file that the studio wrote.

    Args:
        path: The picture.
        text: What it shows, for those who do not see it.
    """
    return _render("sheet.html.jinja", address=f"/gradio_api/file={path.as_posix()}", text=text)


def saved_card(saved: Saved) -> str:
    """Return what was saved, what the tool will make of it, and how it was made."""
    checked = saved.verification
    view = next((view for view in checked.views if view.tool == saved.tool), None)
    return _render(
        "saved.html.jinja",
        result=saved.result,
        size=format_bytes(saved.result.bytes),
        faults=[plain_words(fault) for fault in checked.faults],
        error=checked.error,
        layers=checked.layers,
        view=view.text() if view else "",
        complete=bool(view and view.complete),
        tool=saved.tool,
        notes=[plain_words(note) for note in saved.summary["notes"]],
    )


def result_row(result: Result) -> str:
    """Return a line of the history with the provenance of a result."""
    return _render("result.html.jinja", result=result, size=format_bytes(result.bytes))


def size_table(rows: Sequence[SizeRow]) -> str:
    """Return sizes with their errors as a table."""
    return _render("sizes.html.jinja", rows=[(row.name, format_bytes(row.bytes), row.error) for row in rows])


def blind_pair(pair: BlindPair | None, left: int) -> str:
    """Return the two images of a blind test, whose addresses do not say which is which.

    Args:
        pair: The pair; None at the end of the test.
        left: Number of pairs that are left.
    """
    images = [base64.b64encode(path.read_bytes()).decode() for path in (pair.left, pair.right)] if pair else []
    return _render("blind.html.jinja", images=images, left=left)


def blind_result(tallies: Sequence[Tally], test: Path) -> str:
    """Return the votes for each method, and how the judge reads them."""
    return _render("tally.html.jinja", tallies=tallies, test=test, layout=LAYOUT)


def question(axis: Axis) -> str:
    """Return the question of a blind test on an axis."""
    return _QUESTIONS[axis]


def plain_words(text: str) -> str:
    """Return a message without the marks of Python: "`force=True`" becomes "force"."""
    return re.sub(r"`([^`=]+)(?:=[^`]*)?`", r"\1", text)


def format_bytes(count: int) -> str:
    """Return a size for people: "186 MB".

    >>> format_bytes(186_000_000), format_bytes(1500)
    ('186 MB', '1.5 kB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts "block.2" before "block.10"."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _render(template: str, **values: Any) -> str:
    return render_page(template, "lorarar.studio", **values).strip()
