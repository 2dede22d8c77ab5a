"""References: concepts with their reference images, read from a concept file.

An entry of the file has a name and a kind (content or style), a phrase for questions, and images: either a list of
paths, or all images of a folder (`folder`, or else the name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets.concept_files import Entry, entry_folder, read_entries, read_split_tables
from lorarar.datasets.images import list_images
from lorarar.datasets.records import Axis, ReferenceConcept

# Keys with the phrase for questions; the first that an entry has is used. Words that only prompts need are removed.
_PHRASE_KEYS = ("question", "class_word", "style_words", "phrase", "prompt")
_RARE_TOKEN = "sks"


@dataclass(frozen=True)
class References:
    """The reference images that generated images are judged against.

    Attributes:
        root: The images' paths are relative to it.
        training: Names of concepts that something was trained on: judging them would be a leak.
    """

    root: Path
    concepts: Mapping[tuple[Axis, str], ReferenceConcept]
    training: frozenset[str] = frozenset()

    def names(self, axis: Axis) -> list[str]:
        """Return the names of one axis' concepts, sorted."""
        return sorted(name for kind, name in self.concepts if kind == axis)


def load_references(path: Path, *, root: Path | None = None, splits: str | None = None) -> References:
    """Read concepts and list their images.

    Args:
        root: The folder of the images and of the concepts' folders. By default the file's folder, or `images` in it if
            the file's folder has none of them.
        splits: The name of splits in the file whose training part must not be judged.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is not a concept file, names a concept twice, or has no splits of that name.
    """
    entries = read_entries(path)
    root = root or find_root(entries, path)
    concepts: dict[tuple[Axis, str], ReferenceConcept] = {}
    for entry in entries:
        name, axis = entry["name"], entry["kind"]
        if (axis, name) in concepts:
            raise ValueError(f"{path}: expected each {axis} once, found {name!r} again: rename one")
        concepts[axis, name] = ReferenceConcept(name, axis, _phrase(entry, axis), _list_references(entry, root))
    return References(root, concepts, _training(splits, path))


def find_root(entries: Sequence[Entry], path: Path) -> Path:
    """Return the folder of a concept file, or `images` in it if the folder itself has no images of the concepts."""
    roots = (path.parent, path.parent / "images")
    for root in roots:
        if any((root / location).exists() for entry in entries for location in _locations(entry)):
            return root
    return roots[0]


def _locations(entry: Entry) -> list[str]:
    """Return the paths of a concept's images, or the path of their folder."""
    images = entry.get("images")
    return list(map(str, images)) if isinstance(images, list) else [entry_folder(entry)]


def _list_references(entry: Entry, root: Path) -> tuple[str, ...]:
    """Return the paths of a concept's images relative to the root, sorted."""
    if isinstance(entry.get("images"), list):
        return tuple(sorted(_locations(entry)))
    return tuple(sorted(path.relative_to(root).as_posix() for path in list_images(root / entry_folder(entry))))


def _phrase(entry: Entry, axis: Axis) -> str:
    """Return the phrase for questions: "cat" for "a sks cat", "oil painting" for "oil painting style"."""
    name = entry["name"].replace("_", " ")
    text = next((str(entry[key]) for key in _PHRASE_KEYS if entry.get(key)), name)
    words = re.sub(r"^(a|an|the) ", "", text.strip()).split()
    if axis == "style" and len(words) > 1 and words[-1] == "style":
        words = words[:-1]
    token = str(entry.get("token", _RARE_TOKEN))
    return " ".join(word for word in words if word not in (token, "{token}")) or name


def _training(splits: str | None, path: Path) -> frozenset[str]:
    """Return the names of the splits' training part."""
    if splits is None:
        return frozenset()
    tables = read_split_tables(path)
    if splits not in tables or "train" not in tables[splits]:
        raise ValueError(
            f"{path}: expected splits {splits!r} with a part train, found {sorted(tables)}: name one of these"
        )
    part = tables[splits]["train"]
    return frozenset([*part.get("contents", ()), *part.get("styles", ())])
