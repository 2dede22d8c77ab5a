"""Manifest: the list of judged images, built from a folder or read from JSON lines, checked, and locked with hashes."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from lorarar.datasets.images import fingerprint
from lorarar.datasets.layout import LAYOUT_FIELDS, PROMPT_TYPES, parse_layout
from lorarar.datasets.records import Axis, Item
from lorarar.datasets.references import References
from lorarar.storage import json_line, missing_path, write_lines

_TYPES = {field.name: int if field.name == "seed" else str for field in fields(Item)}
_REQUIRED = ("id", "path", "method", "content", "style", "seed")
_LISTED = 10  # complaints in a message


def build_items(root: Path, pattern: str, references: References, *, ignore: Sequence[str] = ()) -> list[Item]:
    """Build a manifest from the paths below a folder. Hidden files are skipped; any other file must match.

    Args:
        pattern: Such as "{method}/{content}+{style}/{seed}.png", see `lorarar.datasets.layout`.
        ignore: Shell patterns of relative paths that are not images to judge.

    Raises:
        ValueError: A path does not match the pattern, matches it in two ways, or names a content or style without
            references.
    """
    names = {"content": references.names("content"), "style": references.names("style")}
    strict, loose = parse_layout(pattern, names), parse_layout(pattern, {})
    items, complaints = [], []
    for path in _paths(root, ignore):
        readings = strict.readings(path)
        if len(readings) == 1:
            items.append(_item(path, readings[0]))
        elif readings:
            complaints.append(f"{path}: ambiguous, it reads as {' or '.join(map(_describe, readings[:2]))}")
        elif loose.readings(path):
            complaints.append(f"{path}: names a content or a style without references, or an unknown prompt type")
        else:
            complaints.append(f"{path}: does not match")
    _refuse(complaints, f"expected all files below {root} to match {pattern} in one way", "rename, move or ignore them")
    if not items:
        raise ValueError(f"expected images below {root} that match {pattern}, found none: check folder and pattern")
    return items


def read_manifest(path: Path) -> list[Item]:
    """Read JSON lines, one item each.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line is not an item; the message lists the first such lines.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a manifest at {path}, found none: run `lorarar judge plan` first")
    items, complaints = [], []
    for number, text in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
        try:
            items.append(_parse(text))
        except ValueError as error:
            complaints.append(f"line {number}: {error}")
    _refuse(complaints, f"expected one item as a JSON object a line of {path}", "correct them")
    return items


def write_manifest(path: Path, items: Sequence[Item]) -> None:
    """Write JSON lines in the items' order."""
    write_lines(path, map(asdict, items))


def check_items(items: Sequence[Item], references: References) -> None:
    """Refuse a manifest that would give wrong scores.

    Raises:
        ValueError: There are no items; an id, a path or (method, content, style, seed, prompt type) is repeated; a
            concept has no reference images, or something was trained on it.
    """
    if not items:
        raise ValueError("expected items in the manifest, found none")
    complaints = [
        *_repeated(items, "id", lambda item: item.id),
        *_repeated(items, "path", lambda item: item.path),
        *_repeated(items, "image", lambda i: (i.method, i.content, i.style, i.seed, i.prompt_type)),
    ]
    complaints += [
        f"{item.id}: unknown prompt type {item.prompt_type!r}" for item in items if item.prompt_type not in PROMPT_TYPES
    ]
    named: set[tuple[Axis, str]] = {("content", item.content) for item in items}
    named |= {("style", item.style) for item in items}
    for axis, name in sorted(named):
        concept = references.concepts.get((axis, name))
        if concept is None or not concept.images:
            complaints.append(f"{axis} {name!r}: no reference images below {references.root}")
        if name in references.training:
            complaints.append(
                f"{axis} {name!r}: it is in the training part of the splits, scores on it would be a leak"
            )
    _refuse(complaints, "expected a manifest of distinct images of concepts with references", "correct them")


def lock_items(items: Iterable[Item], root: Path) -> list[Item]:
    """Return the items with the SHA-256 of their files; "" where a path is refused."""
    return [replace(item, sha256=fingerprint(root, item.path)) for item in items]


def manifest_key(items: Iterable[Item]) -> str:
    """Return the SHA-256 of locked items in any order: equal for two runs over the same images."""
    return hashlib.sha256("".join(sorted(json_line(asdict(item)) for item in items)).encode()).hexdigest()


def list_changed(items: Iterable[Item], root: Path) -> list[str]:
    """Return the paths whose files differ from the locked ones."""
    return [item.path for item in items if fingerprint(root, item.path) != item.sha256]


def _paths(root: Path, ignore: Sequence[str]) -> list[str]:
    """List the visible files below a folder, and links to folders, as relative paths, sorted."""
    if not root.is_dir():
        raise ValueError(missing_path("a folder of images", root))
    paths = []
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        links = [name for name in folders if (Path(folder) / name).is_symlink()]  # os.walk does not follow them
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [(here / name).as_posix() for name in [*names, *links] if not name.startswith(".")]
    return sorted(path for path in paths if not any(fnmatch.fnmatchcase(path, pattern) for pattern in ignore))


def _describe(values: dict[str, str]) -> str:
    return ", ".join(f"{field} {values[field]!r}" for field in LAYOUT_FIELDS if field in values)


def _item(path: str, values: dict[str, str]) -> Item:
    method, seed = values.get("method", "images"), int(values.get("seed", "0"))
    prompt_type = values.get("prompt_type", "combined")
    name = f"{method}/{values['content']}+{values['style']}/{seed}"
    if prompt_type != "combined":
        name += f"/{prompt_type}"
    return Item(name, path, method, values["content"], values["style"], seed, prompt_type=prompt_type)


def _parse(text: str) -> Item:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, found {type(values).__name__}")
    if missing := [name for name in _REQUIRED if name not in values]:
        raise ValueError(f"missing {missing}")
    for name, value in values.items():
        if name not in _TYPES:
            raise ValueError(f"unknown field {name!r}, expected {sorted(_TYPES)}")
        if type(value) is not _TYPES[name] or (name in _REQUIRED and value == ""):
            raise ValueError(f"expected {name} to be a {_TYPES[name].__name__}, found {value!r}")
    return Item(**values)


def _repeated(items: Sequence[Item], what: str, key: Callable[[Item], object]) -> list[str]:
    """Return a complaint for each item with the key of an earlier one."""
    first: dict[object, Item] = {}
    complaints = []
    for item in items:
        earlier = first.setdefault(key(item), item)
        if earlier is not item:
            complaints.append(f"{item.id}: the same {what} as {earlier.id} ({earlier.path})")
    return complaints


def _refuse(complaints: Sequence[str], expected: str, remedy: str) -> None:
    """Raise ValueError with the first complaints, if there are any."""
    if complaints:
        more = f"\n  and {len(complaints) - _LISTED} more" if len(complaints) > _LISTED else ""
        listed = "".join(f"\n  {text}" for text in complaints[:_LISTED])
        raise ValueError(f"{expected}, found {len(complaints)} faults: {remedy}{listed}{more}")
