"""Compare what two checkouts wrote: tensors and images byte by byte, JSON number by number."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from layouts import FOLDERS, Checkout, to_old
from PIL import Image
from safetensors import safe_open
from torch import Tensor, uint8

# Keys whose values differ between any two runs, or between any two versions.
VOLATILE = frozenset(
    {"milliseconds", "seconds", "extra_bytes", "date", "lorarar", "lorarar_version", "transformers", "question"}
)
# Keys whose values are sentences: only how many there are is compared.
PROSE = frozenset(
    {
        "citation",
        "lorarar.citation",
        "family_label",
        "warnings",
        "notes",
        "reasons",
        "covers",
        "not_measured",
        "skipped",
    }
)
_LISTED = 3


@dataclass
class Difference:
    """How two outputs differ.

    Attributes:
        largest: the largest absolute difference of two numbers; infinite where something else differs.
        notes: where they differ.
    """

    largest: float = 0.0
    notes: list[str] = field(default_factory=list)

    def add(self, note: str, size: float = math.inf) -> None:
        """Add a place where they differ."""
        self.largest = max(self.largest, size)
        self.notes.append(note)

    def describe(self) -> str:
        """A line for people: the first places."""
        more = len(self.notes) - _LISTED
        return "; ".join(self.notes[:_LISTED]) + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Side:
    """One checkout and the working directory that its outputs lie in."""

    checkout: Checkout
    folder: Path
    networks: Mapping[str, str]

    @classmethod
    def at(cls, checkout: Checkout, folder: Path) -> Side:
        """A side whose shipped networks are known by their hashes."""
        folders = [checkout.root / name for name in ("data/embedded", *FOLDERS)]
        shipped = [file for folder in folders for file in sorted(folder.glob("**/*.safetensors"))]
        hashes = {hashlib.sha256(file.read_bytes()).hexdigest(): file.relative_to(checkout.root) for file in shipped}
        return cls(checkout, folder, {digest: f"sha256 of {to_old(str(path))}" for digest, path in hashes.items()})

    def canonical(self, value: Any, *, prose: bool = False) -> Any:
        """JSON in the old spelling, without what differs between any two runs.

        A shipped file's hash becomes its name: a renamed key in its header changes the hash and none of its tensors,
        which are compared by what is made of them.
        """
        if isinstance(value, Mapping):
            kept = {key: entry for key, entry in value.items() if key not in VOLATILE}
            return {to_old(k): self.canonical(v, prose=prose or k in PROSE) for k, v in kept.items()}
        if isinstance(value, list | tuple):
            return [self.canonical(entry, prose=prose) for entry in value]
        if not isinstance(value, str):
            return value
        if value[:1] in ("{", "["):
            return self.canonical(_parsed(value), prose=prose)
        plain = value.replace(f"{self.checkout.root}/", "")
        return "prose" if prose else self.networks.get(value, to_old(plain))

    def outputs(self, pattern: str) -> dict[str, Path]:
        """The files that match a pattern, by their names in the old spelling."""
        files = sorted(self.folder.glob(self.checkout.spell(pattern)))
        return {to_old(str(file.relative_to(self.folder))): file for file in files if file.is_file()}


def compare_outputs(sides: Sequence[Side], pattern: str, difference: Difference) -> int:
    """Compare all files that match a pattern, and return how many there are."""
    before, after = (side.outputs(pattern) for side in sides)
    for name in sorted(before.keys() ^ after.keys()):
        difference.add(f"{name} is missing {'after' if name in before else 'before'}")
    for name in sorted(before.keys() & after.keys()):
        compare_files(sides, (before[name], after[name]), difference)
    return len(before)


def compare_unnamed(sides: Sequence[Side], pattern: str, difference: Difference) -> int:
    """Compare JSON files whose names are hashes, in the order of their contents."""
    before, after = (
        sorted((side.canonical(read_json(file)) for file in side.outputs(pattern).values()), key=json.dumps)
        for side in sides
    )
    compare_values(before, after, pattern, difference)
    return len(before)


def compare_files(sides: Sequence[Side], files: Sequence[Path], difference: Difference) -> None:
    """Compare two files by what they hold."""
    name = files[0].name
    if name.endswith(".safetensors"):
        compare_tensors(sides, files, difference)
    elif name.endswith((".json", ".jsonl")):
        before, after = (side.canonical(read_json(file)) for side, file in zip(sides, files, strict=True))
        if name.endswith(".jsonl"):  # runs may write lines in any order
            before, after = (sorted(rows, key=lambda row: json.dumps(row, sort_keys=True)) for rows in (before, after))
        compare_values(before, after, name, difference)
    elif files[0].read_bytes() != files[1].read_bytes():
        pixels = name.endswith(".png")
        difference.add(f"{name} differs", _pixel_difference(files) if pixels else math.inf)


def compare_tensors(sides: Sequence[Side], files: Sequence[Path], difference: Difference) -> None:
    """Compare the tensors of two safetensors files, bit by bit, and their headers."""
    (before, header), (after, other) = map(_read_tensors, files)
    name = files[0].name
    for key in sorted(before.keys() ^ after.keys()):
        difference.add(f"{name}: {key} is missing {'after' if key in before else 'before'}")
    for key in sorted(before.keys() & after.keys()):
        one, two = before[key], after[key]
        if (one.dtype, one.shape) != (two.dtype, two.shape):
            difference.add(f"{name}: {key} is {one.dtype} {tuple(one.shape)}, {two.dtype} {tuple(two.shape)}")
        elif _bits(one) != _bits(two):
            difference.add(f"{name}: {key}", float((one.double() - two.double()).abs().max()))
    compare_values(sides[0].canonical(header), sides[1].canonical(other), f"{name} header", difference)


def compare_values(before: Any, after: Any, place: str, difference: Difference) -> None:
    """Compare plain data; all numbers must be equal."""
    flat, other = dict(_flatten(before, place)), dict(_flatten(after, place))
    for key in sorted(flat.keys() ^ other.keys()):
        difference.add(f"{key} is missing {'after' if key in flat else 'before'}")
    for key in flat.keys() & other.keys():
        one, two = flat[key], other[key]
        if one != two:
            numbers = all(isinstance(value, int | float) for value in (one, two))
            difference.add(f"{key}: {one!r} before, {two!r} after", abs(one - two) if numbers else math.inf)


def read_json(file: Path) -> Any:
    """A JSON file, or the lines of one."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".jsonl":
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines()]


def _flatten(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Each leaf of plain data, by its path."""
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flatten(entry, f"{place}.{key}")
    elif isinstance(value, list) and value:
        for index, entry in enumerate(value):
            yield from _flatten(entry, f"{place}[{index}]")
    else:
        yield place, value


def _parsed(text: str) -> Any:
    """JSON in a string, or the string in a list if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return [f"text: {text}"]


def _read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(file, framework="pt") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118


def _bits(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(uint8).numpy())


def _pixel_difference(files: Sequence[Path]) -> float:
    """The largest difference of two images in 256 steps; infinite for images of different sizes."""
    before, after = (np.asarray(Image.open(file).convert("RGB"), dtype=np.int16) for file in files)
    return float(np.abs(before - after).max()) if before.shape == after.shape else math.inf
