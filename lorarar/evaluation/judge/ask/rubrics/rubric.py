"""Rubric: the questions about both axes, as versioned data; versions.json keeps the hash of every version's text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import get_args

import yaml

from lorarar.datasets import AXES, Axis, ReferenceConcept
from lorarar.evaluation.judge.records import Answer
from lorarar.storage import digest, package_path

FOLDER = package_path("evaluation", "judge", "ask", "rubrics")
_ANSWERS = tuple(answer for answer in get_args(Answer) if answer != "text")  # a text is no score
_FIELDS = {"name", "phrase", "reference", "test"}


@dataclass(frozen=True)
class Rubric:
    """The questions about both axes.

    Attributes:
        texts: For each axis, with the fields {name} and {phrase} of the concept, and {reference} and {test}, which
            become "first" and "second" in the order of the images.
        reworded: The same questions in other words, which should have the same answers; empty for none.
    """

    id: str
    version: int
    answer: Answer
    texts: Mapping[Axis, str]
    reworded: Mapping[Axis, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The hash of all attributes, as canonical JSON."""
        content = {"id": self.id, "version": self.version, "answer": self.answer, "texts": dict(self.texts)}
        content |= {"reworded": dict(self.reworded)} if self.reworded else {}
        return digest(content)

    @property
    def key(self) -> str:
        """Id, version and the start of the hash, which together identify the text."""
        return f"{self.id}@{self.version}:{self.sha256[:12]}"

    def ask(self, axis: Axis, concept: ReferenceConcept, *, swapped: bool = False, reworded: bool = False) -> str:
        """Return the question about one concept.

        Args:
            swapped: The test image comes first.
            reworded: Use other words.
        """
        first, second = ("second", "first") if swapped else ("first", "second")
        text = (self.reworded if reworded else self.texts)[axis]
        return text.format(name=concept.name, phrase=concept.phrase, reference=first, test=second).strip()


def shipped_rubrics() -> list[str]:
    """Return the ids of the rubrics in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_rubric(name: str) -> Rubric:
    """Load a rubric of the package by its id, or another one by the path of its YAML file.

    Raises:
        ValueError: The rubric does not exist, or a field is missing or wrong.
    """
    is_path = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_path else FOLDER / f"{name}.yaml"
    if not path.is_file() if is_path else name not in shipped_rubrics():
        raise ValueError(f"expected one of {shipped_rubrics()} or the path of a YAML file, found {name!r}")
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(read, dict) or set(read) - {"reworded"} != {"id", "version", "answer", *AXES}:
        raise ValueError(
            f"{path}: expected the fields id, version, answer, content, style and optionally reworded, found "
            f"{sorted(map(str, read)) if isinstance(read, dict) else type(read).__name__}"
        )
    if read["answer"] not in _ANSWERS or not isinstance(read["version"], int):
        raise ValueError(
            f"{path}: expected an integer version and an answer of {_ANSWERS}, found "
            f"{read['version']!r} and {read['answer']!r}"
        )
    texts, reworded = _read_texts(path, read), {}
    if "reworded" in read:
        if not isinstance(read["reworded"], dict) or set(read["reworded"]) != set(AXES):
            raise ValueError(f"{path}: expected reworded to hold content and style, found {read['reworded']!r}")
        reworded = _read_texts(path, read["reworded"])
    return Rubric(str(read["id"]), read["version"], read["answer"], texts, reworded)


def _read_texts(path: Path, read: Mapping[str, object]) -> dict[Axis, str]:
    texts: dict[Axis, str] = {axis: str(read[axis]) for axis in AXES}
    unknown = {name for text in texts.values() for _, name, _, _ in Formatter().parse(text) if name is not None}
    if unknown - _FIELDS:
        raise ValueError(f"{path}: expected the fields {sorted(_FIELDS)}, found {sorted(unknown - _FIELDS)}")
    return texts


def locked_versions() -> dict[str, dict[str, str]]:
    """Return the SHA-256 of every published version, by rubric id and version."""
    versions: dict[str, dict[str, str]] = json.loads((FOLDER / "versions.json").read_text(encoding="utf-8"))
    return versions
