"""Data check: what is missing, unreadable, duplicated or shared between splits in a concept file and its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorarar.datasets.concept_files import Entry, SplitTable, entry_folder, read_entries, read_split_tables
from lorarar.datasets.concepts import Concept
from lorarar.datasets.images import ImageError, list_images, load_image, pixel_hash
from lorarar.datasets.references import find_root

_FIRST = 5  # files in an error message


@dataclass(frozen=True)
class Fault:
    """A fault of a data set: its sort, and what was found."""

    sort: Literal["missing", "unreadable", "duplicated", "leaking"]
    text: str

    def __str__(self) -> str:
        return f"{self.sort}: {self.text}"


@dataclass(frozen=True)
class DataReport:
    """Faults of a data set, and how many concepts and images it has."""

    concepts: int
    images: int
    faults: tuple[Fault, ...]

    def text(self) -> str:
        """Return the report, one line each."""
        count = f"{len(self.faults)} faults" if self.faults else "no faults"
        return "\n".join([*map(str, self.faults), f"{self.concepts} concepts, {self.images} images: {count}"])


def check_data(manifest: Path, images: Path | None = None) -> DataReport:
    """Read every image of a concept file and compare their pixels.

    Args:
        manifest: The concept file.
        images: Folder of the concepts' folders; None is the file's own folder, or `images` in it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is not a concept file.
    """
    entries, tables = read_entries(manifest), read_split_tables(manifest)
    root = images or find_root(entries, manifest)
    paths = {entry["name"]: list_images(root / entry_folder(entry)) for entry in entries}
    faults = [*_missing(entries, paths, root), *_split_faults(entries, tables)]
    places: dict[str, list[tuple[str, Path]]] = {}
    for name, files in paths.items():
        for path in files:
            try:
                places.setdefault(pixel_hash(load_image(path, longest=None)), []).append((name, path))
            except ImageError as error:
                faults.append(Fault("unreadable", f"{path}: {error}"))
    faults += [fault for same in places.values() if len(same) > 1 for fault in _same_image(same, tables)]
    return DataReport(len(entries), sum(map(len, paths.values())), tuple(faults))


def check_readable(concepts: Sequence[Concept]) -> None:
    """Check that every image of some concepts can be read.

    Raises:
        ValueError: Some cannot; the message names them.
    """
    faults = []
    for path in dict.fromkeys(path for concept in concepts for path in concept.images):
        try:
            load_image(path, longest=None)
        except ImageError as error:
            faults.append(f"{path} ({error})")
    if faults:
        more = f" and {len(faults) - _FIRST} more" if len(faults) > _FIRST else ""
        raise ValueError(
            f"expected images that can be read, found {len(faults)} that cannot: {', '.join(faults[:_FIRST])}{more}: "
            "replace or remove them"
        )


def _missing(entries: Sequence[Entry], paths: Mapping[str, Sequence[Path]], root: Path) -> Iterator[Fault]:
    for entry in entries:
        name, count, captions = entry["name"], len(paths[entry["name"]]), entry.get("captions")
        if not count and not entry.get("synthetic_prompts"):
            yield Fault("missing", f"{name} has no images in {root / entry_folder(entry)}")
        if captions and len(captions) != count:
            yield Fault("missing", f"{name} has {len(captions)} captions for {count} images")
        if not (captions and all(captions)) and not entry.get("prompt") and not entry.get("synthetic_prompts"):
            yield Fault("missing", f"{name} has neither a prompt nor a caption for each image")


def _split_faults(entries: Sequence[Entry], tables: Mapping[str, SplitTable]) -> Iterator[Fault]:
    names = [entry["name"] for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault("duplicated", f"{name} is listed {names.count(name)} times")
    for title, table in tables.items():
        for name, parts in _parts_of(table).items():
            if len(parts) > 1:
                yield Fault("leaking", f"{name} is in {' and in '.join(parts)} of the splits {title}")
            if name not in names:
                yield Fault("missing", f"{name} of the splits {title} is not in the list of concepts")


def _same_image(same: Sequence[tuple[str, Path]], tables: Mapping[str, SplitTable]) -> Iterator[Fault]:
    """Yield the faults of files with equal pixels: a leak where two parts of a split hold them, else a duplicate."""
    files = " and ".join(str(path) for _, path in same)
    leaks = []
    for title, table in tables.items():
        parts = _parts_of(table)
        held = dict.fromkeys(part for name, _ in same for part in parts.get(name, ()))
        if len(held) > 1:
            leaks.append(Fault("leaking", f"one image is in {' and in '.join(held)} of the splits {title}: {files}"))
    yield from leaks or [Fault("duplicated", f"one image is there {len(same)} times: {files}")]


def _parts_of(table: SplitTable) -> dict[str, list[str]]:
    """Return the parts of a split that each concept is in."""
    parts: dict[str, list[str]] = {}
    for part, kinds in table.items():
        for names in kinds.values():
            for name in names:
                parts.setdefault(name, []).append(part)
    return parts
