"""Adding: folders of LoRA files are read in parallel and written to the index, a batch at a time.

Only files that are new or have changed since are read. A file whose bytes are known under another path is recorded
beside it, so a moved file keeps its entry.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lorarar.formats import BaseWeights, assemble, read_stored
from lorarar.library.database import Database
from lorarar.library.entries import entry_values
from lorarar.library.fingerprints import Vector, fingerprint_lora
from lorarar.library.kinds import kind_of
from lorarar.library.thumbnails import preview_of
from lorarar.lora import one_thread
from lorarar.storage import FormatError, progress

_BATCH_SECONDS = 1.0  # between two transactions
_WAITING = 8  # files for each thread that are read and not written yet


@dataclass
class Added:
    """Result of adding folders.

    Attributes:
        new: Number of new entries.
        copies: Number of files whose bytes an entry has already.
        unchanged: Number of files that were known and were not read.
        gone: Number of known files in the folders that no longer exist.
        failed: Path -> the reason why it could not be read.
    """

    new: int = 0
    copies: int = 0
    unchanged: int = 0
    gone: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the result as text, with a line for each file that could not be read."""
        counts = f"{self.new} new, {self.copies} copies of known files, {self.unchanged} unchanged, {self.gone} gone"
        lines = [f"{counts}, {len(self.failed)} could not be read"]
        return "\n".join(lines + [f"  {path}: {reason}" for path, reason in sorted(self.failed.items())])


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class _Read:
    """A file as read: values and fingerprints of an entry, or the reason of a failure."""

    file: _File
    values: Mapping[str, Any] | None = None
    vectors: Mapping[str, Vector] | None = None
    thumbnail: bytes | None = None
    reason: str = ""


def add_folders(
    database: Database,
    folders: Iterable[str | Path],
    *,
    base: str | Path | None = None,
    threads: int = 2,
    again: bool = False,
) -> Added:
    """Add all safetensors files below folders.

    Args:
        database: The index.
        folders: Folders, which are searched through, or files.
        base: Base model, for files whose deltas depend on its weights.
        threads: Files that are read at once.
        again: Whether files that could not be read are tried again although they have not changed.

    Raises:
        FileNotFoundError: A folder does not exist.
    """
    roots = [Path(folder).absolute() for folder in folders]
    files = list(dict.fromkeys(file for root in roots for file in list_files(root)))
    known, added = database.known_files(), Added()
    retried = database.failures() if again else {}
    left = [f for f in files if known.get(f.path) != (f.size, f.modified) or f.path in retried]
    added.unchanged = len(files) - len(left)
    added.gone = _forget_missing(database, roots, known, {file.path for file in files})
    weights = BaseWeights(base) if base else None
    with one_thread(), progress("add LoRA files", len(left), "files") as advance:
        batch: list[_Read] = []
        written = time.monotonic()
        for read in _read_all(left, weights, threads):
            batch.append(read)
            if time.monotonic() - written > _BATCH_SECONDS:
                _write(database, batch, added)
                batch, written = [], time.monotonic()
            advance()
        _write(database, batch, added)
    return added


def list_files(root: Path) -> Iterator[_File]:
    """Yield the safetensors files below a folder, sorted; or the file itself.

    Raises:
        FileNotFoundError: There is no such folder or file.
    """
    if not root.exists():
        raise FileNotFoundError(f"expected a folder or a LoRA file at {root}, found none: check the path")
    paths = sorted(root.rglob("*.safetensors")) if root.is_dir() else [root]
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # a link that leads nowhere, or a file that was deleted since
            continue
        if not any(part.startswith(".") for part in path.relative_to(root).parts) and path.is_file():
            yield _File(os.fspath(path), status.st_size, status.st_mtime_ns)


def _forget_missing(
    database: Database, roots: Sequence[Path], known: Mapping[str, tuple[int, int]], present: set[str]
) -> int:
    """Forget files below the folders that are gone; their entries stay, for a copy may turn up elsewhere."""
    gone = [
        p for p in known if p not in present and any(Path(p).is_relative_to(r) for r in roots) and not Path(p).exists()
    ]
    if gone:
        with database.transaction():
            for path in gone:
                database.remove_file(path)
    return len(gone)


def _read_all(files: Sequence[_File], base: BaseWeights | None, threads: int) -> Iterator[_Read]:
    """Yield files as they are read, with a bounded number in memory."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: set[Future[_Read]] = set()
        rest = iter(files)
        try:
            while True:
                waiting |= {pool.submit(_read, file, base) for file in islice(rest, threads * _WAITING - len(waiting))}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:  # an interrupt does not wait for files that nobody will write
            pool.shutdown(wait=False, cancel_futures=True)


def _read(file: _File, base: BaseWeights | None) -> _Read:
    try:
        stored = read_stored(file.path)
        lora = assemble(stored, base)
        fingerprint = fingerprint_lora(lora)
        kind = kind_of(lora, fingerprint.vectors["spectrum"])
        values = entry_values(stored, lora, fingerprint.norm, (kind.kind, kind.probability) if kind else ("", 0.0))
    except (FormatError, ValueError, OSError) as error:
        return _Read(file, reason=" ".join(str(error).split()).removeprefix(f"{file.path}: "))
    return _Read(file, values, fingerprint.vectors, preview_of(Path(file.path)))


def _write(database: Database, batch: Sequence[_Read], added: Added) -> None:
    if not batch:
        return
    with database.transaction():
        for read in batch:
            file = read.file
            if read.values is None or read.vectors is None:
                database.set_failure(file.path, file.size, file.modified, read.reason)
                added.failed[file.path] = read.reason
                continue
            is_known = database.find_sha256(read.values["sha256"]) is not None
            entry = database.add_entry(read.values, read.vectors)
            if read.thumbnail and not is_known:
                database.set_thumbnail(entry, read.thumbnail)
            database.set_file(file.path, entry, file.size, file.modified)
            added.copies += is_known
            added.new += not is_known
