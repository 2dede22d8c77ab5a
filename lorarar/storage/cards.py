"""Cards: a JSON file beside each artefact that says how the artefact was made and which hash it must have."""

from __future__ import annotations

import datetime
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lorarar.storage.hashing import sha256
from lorarar.storage.text import write_json


def lorarar_version() -> str:
    """Return the installed version, or "unknown" when run from a source tree that was never installed."""
    try:
        return version("lorarar")
    except PackageNotFoundError:
        return "unknown"


class ArtefactError(ValueError):
    """An artefact is missing or differs from its card."""


def card_path(artefact: Path) -> Path:
    """Return the path of the card of a file or folder: `name.card.json` beside it."""
    return artefact.with_name(artefact.name.removesuffix(artefact.suffix) + ".card.json")


def write_card(artefact: Path, **facts: Any) -> None:
    """Write the card of a finished file or folder: facts, today's date and the hashes of its files.

    Args:
        artefact: The finished file or folder.
        facts: Plain data about how it was made.

    Raises:
        FormatError: The card cannot be written.
    """
    card = facts | {"date": datetime.date.today().isoformat(), "sha256": _hashes(artefact)}
    write_json(card_path(artefact), card)


def read_card(artefact: Path) -> dict[str, Any]:
    """Return the content of an artefact's card.

    Raises:
        ArtefactError: There is no card.
    """
    path = card_path(artefact)
    if not path.is_file():
        raise ArtefactError(f"expected a card at {path}, found none: run `make artefacts`, or restore it from git")
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def checked(artefact: Path) -> Path:
    """Return the path of an artefact whose hashes match its card.

    Raises:
        ArtefactError: There is no card, or a file is missing, is not on the card or differs from it.
    """
    expected, actual = read_card(artefact)["sha256"], _hashes(artefact)
    wrong = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if wrong:
        raise ArtefactError(
            f"{artefact} differs from its card: {len(wrong)} files are missing, new or changed, first "
            f"{wrong[:3]}: restore it from git, or make it anew with `make artefacts`"
        )
    return artefact


def _hashes(artefact: Path) -> dict[str, str]:
    if artefact.is_file():
        return {artefact.name: sha256(artefact)}
    files = sorted(p for p in artefact.rglob("*") if p.is_file())
    return {p.relative_to(artefact).as_posix(): sha256(p) for p in files}
