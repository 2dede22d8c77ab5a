"""The manifest: which images are judged. Built from a folder or read from JSON lines, checked, locked with hashes."""

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
from lorarar.storage import line, write_lines

_TYPES = {field.name: int if field.name == "seed" else str for field in fields(Item)}
_REQUIRED = ("id", "path", "method", "content", "style", "seed")
_SHOWN = 10  # how many complaints a message lists


def build_items(root: Path, pattern: str, references: References, *, ignore: Sequence[str] = ()) -> list[Item]:
    """Reads a manifest off the paths below a folder. Hidden files are passed over, nothing else is.

    Args:
        pattern: such as "{method}/{content}+{style}/{seed}.png", see `lorarar.datasets.layout`.
        ignore: shell patterns of relative paths that are no images to judge.

    Raises:
        ValueError: a path that the pattern does not match, that can be read in two ways, or that names a content or
            style without references.
    """
    names = {"content": references.names("content"), "style": references.names("style")}
    strict, loose = parse_layout(pattern, names), parse_layout(pattern, {})
    items, complaints = [], []
    for path in _paths(root, ignore):
        readings = strict.readings(path)
        if len(readings) == 1:
            items.append(_item(path, readings[0]))
        elif readings:
            ways = " or ".join(", ".join(f"{k} {r[k]!r}" for k in LAYOUT_FIELDS if k in r) for r in readings[:2])
            complaints.append(f"{path}: ambiguous, it reads as {ways}")
        elif loose.readings(path):
            complaints.append(f"{path}: names a content or a style without references, or an unknown prompt type")
        else:
            complaints.append(f"{path}: does not match")
    _refuse(complaints, f"expected all files below {root} to match {pattern} in one way", "rename, move or ignore them")
    if not items:
        raise ValueError(f"expected images below {root} that match {pattern}, found none: check folder and pattern")
    return items


def read_manifest(path: Path) -> list[Item]:
    """Reads JSON lines, one item each.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is no item; the message names the first ones.
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
    """Writes JSON lines in the items' order."""
    write_lines(path, map(asdict, items))


def check_items(items: Sequence[Item], references: References) -> None:
    """Refuses a manifest that would give wrong scores.

    Raises:
        ValueError: no items; an id, a path or (method, content, style, seed, prompt type) twice; a concept without
            reference images; one that something was trained on.
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
    wanted: set[tuple[Axis, str]] = {("content", item.content) for item in items}
    wanted |= {("style", item.style) for item in items}
    for axis, name in sorted(wanted):
        concept = references.concepts.get((axis, name))
        if concept is None or not concept.images:
            complaints.append(f"{axis} {name!r}: no reference images below {references.root}")
        if name in references.training:
            complaints.append(
                f"{axis} {name!r}: it is in the training part of the splits, scores on it would be a leak"
            )
    _refuse(complaints, "expected a manifest of distinct images of concepts with references", "correct them")


def lock(items: Iterable[Item], root: Path) -> list[Item]:
    """The items with the SHA-256 of their files; "" where a path is refused."""
    return [replace(item, sha256=fingerprint(root, item.path)) for item in items]


def manifest_key(items: Iterable[Item]) -> str:
    """SHA-256 of locked items in any order: the same for two runs over the same images."""
    return hashlib.sha256("".join(sorted(line(asdict(item)) for item in items)).encode()).hexdigest()


def changed(items: Iterable[Item], root: Path) -> list[str]:
    """The paths whose files are no longer what was locked."""
    return [item.path for item in items if fingerprint(root, item.path) != item.sha256]


def _paths(root: Path, ignore: Sequence[str]) -> list[str]:
    if not root.is_dir():
        raise ValueError(f"expected a folder of images at {root}, found none")
    found = []
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        links = [name for name in folders if (Path(folder) / name).is_symlink()]  # os.walk does not follow them
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(here / name).as_posix() for name in [*names, *links] if not name.startswith(".")]
    return sorted(path for path in found if not any(fnmatch.fnmatchcase(path, pattern) for pattern in ignore))


def _item(path: str, read: dict[str, str]) -> Item:
    method, seed = read.get("method", "images"), int(read.get("seed", "0"))
    kind = read.get("prompt_type", "combined")
    name = f"{method}/{read['content']}+{read['style']}/{seed}" + ("" if kind == "combined" else f"/{kind}")
    return Item(name, path, method, read["content"], read["style"], seed, prompt_type=kind)


def _parse(text: str) -> Item:
    read = json.loads(text)
    if not isinstance(read, dict):
        raise ValueError(f"expected an object, found {type(read).__name__}")
    if missing := [name for name in _REQUIRED if name not in read]:
        raise ValueError(f"missing {missing}")
    for name, value in read.items():
        if name not in _TYPES:
            raise ValueError(f"unknown field {name!r}, expected {sorted(_TYPES)}")
        if type(value) is not _TYPES[name] or (name in _REQUIRED and value == ""):
            raise ValueError(f"expected {name} to be a {_TYPES[name].__name__}, found {value!r}")
    return Item(**read)


def _repeated(items: Sequence[Item], what: str, key: Callable[[Item], object]) -> list[str]:
    first: dict[object, Item] = {}
    return [
        f"{item.id}: the same {what} as {first[key(item)].id} ({first[key(item)].path})"
        for item in items
        if first.setdefault(key(item), item) is not item
    ]


def _refuse(complaints: Sequence[str], expected: str, remedy: str) -> None:
    if complaints:
        more = f"\n  and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        listed = "".join(f"\n  {text}" for text in complaints[:_SHOWN])
        raise ValueError(f"{expected}, found {len(complaints)} faults: {remedy}{listed}{more}")
