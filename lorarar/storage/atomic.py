"""Atomic writing: a file appears whole or not at all. Standard library only, so that small commands start fast."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterable, Iterator
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
        FormatError: It exists and force is False, it is anything but a regular file, or its folder does not exist.
    """
    if path.is_dir():
        raise FormatError(f"{path} is a folder: give a file name inside it")
    # Renaming a finished file to `path` would replace a link or a device itself, not what it leads to.
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise FormatError(f"expected a regular file or none at {path}, found a link or device: give another name")
    if path.exists() and not force:
        raise FormatError(f"{path} exists already: choose another name, or allow overwriting with `force=True`")
    if not path.parent.is_dir():
        raise FormatError(f"{path} cannot be written: its folder {path.parent} does not exist, create it first")


def check_no_input(target: Path, inputs: Iterable[Path]) -> None:
    """Check that a file to be written is not one of the inputs of the work, by any path.

    Args:
        target: The file to write.
        inputs: Files and folders that are read; every file in a folder counts. Names without a file, such as hub ids,
            are skipped.

    Raises:
        FormatError: The target is an input, also by a hard link, or lies in a folder that is one.
    """
    if not target.exists():
        return
    inside = target.resolve()
    for path in inputs:
        if path.exists() and (os.path.samefile(path, target) or path.resolve() in inside.parents):
            raise FormatError(f"expected an output that is no input, found {target}, which is read too: rename it")
