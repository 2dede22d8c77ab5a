"""Atomic writing: a file appears whole or not at all. Standard library only, so that small commands start fast."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FormatError(ValueError):
    """A file cannot be read or written; the message names it and says what to do."""


@contextmanager
def atomic_write(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Write to the yielded temporary path; it becomes `path` in one step when the block ends well.

    A reader sees the whole file or none, and a failure leaves neither a temporary file nor a damaged old one.

    Args:
        path: The file to write; its folder must exist.
        force: Whether an existing file may be replaced.

    Yields:
        A path in the same folder (renaming across file systems is not atomic).

    Raises:
        FormatError: The file exists and force is False, its folder does not exist, or the system refuses to write.
    """
    path = Path(path)
    check_target(path, force)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise FormatError(
            f"{path} cannot be written: {error.strerror or error}: check the folder's permissions and the free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_target(path: Path, force: bool) -> None:
    """Check that a file can be written, before any work is done.

    Args:
        path: The file to write.
        force: Whether an existing file may be replaced.

    Raises:
        FormatError: It exists and force is False, it is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise FormatError(f"{path} is a folder: give a file name inside it")
    if path.exists() and not force:
        raise FormatError(f"{path} exists already: choose another name, or allow overwriting with `force=True`")
    if not path.parent.is_dir():
        raise FormatError(f"{path} cannot be written: its folder {path.parent} does not exist, create it first")
