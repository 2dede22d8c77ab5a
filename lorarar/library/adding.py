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
from typing import Any, NamedTuple

from lorarar.formats import BaseWeights, assemble, read_stored
from lorarar.library.database import Database
from lorarar.library.entries import entry_values
from lorarar.library.fingerprints import Array, fingerprint_lora
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


class _File(NamedTuple):
    path: str
    size: int
    modified: int  # nanoseconds


@dataclass(frozen=True)
class _Read:
    """A file as read: values and fingerprints of an entry, or the reason of a failure."""

    file: _File
    values: Mapping[str, Any] = field(default_factory=dict)
    vectors: Mapping[str, Array] = field(default_factory=dict)
    thumbnail: bytes | None = None
    reason: str = ""


def add_folders(
    database: Database, folders: Iterable[str | Path], *, base: str | Path | None, threads: int, again: bool
) -> Added:
    """Add all safetensors files below folders; see `Library.add`."""
    roots = [Path(folder).absolute() for folder in folders]
    files = list(dict.fromkeys(file for root in roots for file in _list_files(root)))
    known, added = database.known_files(), Added()
    retried = database.failures() if again else {}
    left = [f for f in files if known.get(f.path) != (f.size, f.modified) or f.path in retried]
    added.unchanged = len(files) - len(left)
    # Entries whose files are gone stay, for a copy may turn up elsewhere.
    below = [path for path in known if any(Path(path).is_relative_to(root) for root in roots)]
    gone = [path for path in set(below) - {file.path for file in files} if not Path(path).exists()]
    added.gone = len(gone)
    with database.transaction():
        database.remove_files(gone)
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


def _list_files(root: Path) -> Iterator[_File]:
    """Yield the safetensors files below a folder, sorted; or the file itself."""
    if not root.exists():
        raise FileNotFoundError(f"expected a folder or a LoRA file at {root}, found none: check the path")
    for path in sorted(root.rglob("*.safetensors")) if root.is_dir() else [root]:
        try:
            status = path.stat()
        except OSError:  # a link that leads nowhere, or a file that was deleted since
            continue
        if not any(part.startswith(".") for part in path.relative_to(root).parts) and path.is_file():
            yield _File(os.fspath(path), status.st_size, status.st_mtime_ns)


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
        values = entry_values(stored, lora, fingerprint.norm, kind_of(lora, fingerprint))
    except (FormatError, ValueError, OSError) as error:
        return _Read(file, reason=" ".join(str(error).split()).removeprefix(f"{file.path}: "))
    return _Read(file, values, fingerprint.vectors, preview_of(Path(file.path)))


def _write(database: Database, batch: Sequence[_Read], added: Added) -> None:
    with database.transaction():
        for read in batch:
            file, entry = read.file, None
            if read.reason:
                added.failed[file.path] = read.reason
            else:
                entry, is_new = database.add_entry(read.values, read.vectors)
                if read.thumbnail and is_new:
                    database.set_thumbnail(entry, read.thumbnail)
                added.copies += not is_new
                added.new += is_new
            database.set_file(file.path, entry, file.size, file.modified, read.reason)
