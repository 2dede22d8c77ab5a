"""Concepts with their reference images, from a YAML file.

The file holds a list `concepts`: `name`, `kind` (content or style), what a question calls it, and its images: either a
list of paths, or all images of a folder (`folder`, else the name). This project's concept manifests are such files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lorarar.datasets.images import SUFFIXES
from lorarar.datasets.records import AXES, Axis, ReferenceConcept

# Keys that say what a question calls a concept, the first that is there; a prompt is shorn of what only prompts need.
_PHRASES = ("question", "class_word", "style_words", "phrase", "prompt")
_RARE_TOKEN = "sks"


@dataclass(frozen=True)
class References:
    """What images are judged against.

    Attributes:
        root: the images' paths are relative to it.
        training: names of concepts that something was trained on: judging them would be a leak.
    """

    root: Path
    concepts: Mapping[tuple[Axis, str], ReferenceConcept]
    training: frozenset[str] = frozenset()

    def names(self, axis: Axis) -> list[str]:
        """The concepts of one axis, sorted."""
        return sorted(name for kind, name in self.concepts if kind == axis)


def load_references(path: Path, *, root: Path | None = None, splits: str | None = None) -> References:
    """Reads concepts and lists their images.

    Args:
        root: where images and folders lie; by default beside the file, or in `images` beside it when none lies there.
        splits: the name of splits in the file whose training part must not be judged.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such file, names a concept twice, or has no splits of that name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected references at {path}, found none: check the path")
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(read, Mapping) or not isinstance(read.get("concepts"), list):
        raise ValueError(f"{path}: expected a list `concepts`, found {type(read).__name__} without one")
    root = root or _root(read["concepts"], path)
    concepts: dict[tuple[Axis, str], ReferenceConcept] = {}
    for entry in read["concepts"]:
        concept = _concept(entry, root, path)
        if (concept.axis, concept.name) in concepts:
            raise ValueError(f"{path}: expected each {concept.axis} once, found {concept.name!r} again: rename one")
        concepts[concept.axis, concept.name] = concept
    return References(root, concepts, _training(read, splits, path))


def _root(entries: Sequence[Any], path: Path) -> Path:
    named = [entry for entry in entries if isinstance(entry, Mapping)]
    roots = (path.parent, path.parent / "images")
    return next(
        (root for root in roots if any((root / place).exists() for e in named for place in _places(e))), roots[0]
    )


def _places(entry: Mapping[str, Any]) -> list[str]:
    """The paths at which a concept's images are."""
    listed = entry.get("images")
    return [*map(str, listed)] if isinstance(listed, list) else [str(entry.get("folder", entry.get("name", "")))]


def _concept(entry: Any, root: Path, path: Path) -> ReferenceConcept:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ValueError(f"{path}: expected concepts with a name, found {entry!r:.80}")
    name, axis = entry["name"], entry.get("kind")
    if axis not in AXES:
        raise ValueError(f"{path}: expected {name!r} to be of kind content or style, found {axis!r}")
    images = tuple(sorted(_places(entry)))
    if not isinstance(entry.get("images"), list):
        folder = root / images[0]
        images = tuple(sorted(p.relative_to(root).as_posix() for p in folder.glob("*") if p.suffix.lower() in SUFFIXES))
    return ReferenceConcept(name, axis, _phrase(entry, axis), images)


def _phrase(entry: Mapping[str, Any], axis: Axis) -> str:
    """What a question calls the concept: "cat" for "a sks cat", "oil painting" for "oil painting style"."""
    text = next((str(entry[key]) for key in _PHRASES if entry.get(key)), entry["name"].replace("_", " "))
    words = re.sub(r"^(a|an|the) ", "", text.strip()).split()
    if axis == "style" and len(words) > 1 and words[-1] == "style":
        words = words[:-1]
    token = str(entry.get("token", _RARE_TOKEN))
    return " ".join(word for word in words if word not in (token, "{token}")) or entry["name"].replace("_", " ")


def _training(read: Mapping[str, Any], splits: str | None, path: Path) -> frozenset[str]:
    if splits is None:
        return frozenset()
    named = read.get("splits") or {}
    if splits not in named or "train" not in named[splits]:
        raise ValueError(f"{path}: expected splits {splits!r} with a part train, found {sorted(named)}")
    part = named[splits]["train"]
    return frozenset([*part.get("contents", ()), *part.get("styles", ())])
