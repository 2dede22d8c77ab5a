"""Run command lines of lorarar in one process; the module search path decides which checkout's package runs.

    python -P inside.py COMMANDS.json RECORD.json [--trace]
    python -P inside.py --corpus FOLDER

COMMANDS.json is a list of command lines, each a list of words without the leading `lorarar`. RECORD.json gets their
exit codes and output and, with --trace, the functions that were called and the files that were opened.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import json
import os
import runpy
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_TAIL = 2000
_CRASHED = 70


class Recorder:
    """Code that was called and files that were opened, in all threads that Python starts."""

    def __init__(self) -> None:
        self._codes: dict[int, CodeType] = {}  # by identity: hashing a code object hashes its constants
        self._opened: Counter[str] = Counter()

    def start(self) -> None:
        """Record from now on, before the package is imported."""
        self._count_safe_open()
        sys.addaudithook(self._audit)
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Stop recording calls; an audit hook cannot be removed."""
        sys.setprofile(None)
        threading.setprofile(None)

    def functions(self, package: Path) -> list[str]:
        """The package's functions and methods, without comprehensions, lambdas and bodies of classes."""
        named = [c for c in self._codes.values() if c.co_flags & inspect.CO_NEWLOCALS and not c.co_name.startswith("<")]
        return sorted({f"{name}:{code.co_qualname}" for code in named if (name := _within(package, code.co_filename))})

    def modules(self, package: Path) -> list[str]:
        """The package's files whose body was executed."""
        bodies = [code.co_filename for code in self._codes.values() if code.co_name == "<module>"]
        return sorted({name for file in bodies if (name := _within(package, file))})

    def opened(self) -> dict[str, int]:
        """Resolved path -> how often it was opened."""
        counts: Counter[str] = Counter()
        for path, count in list(self._opened.items()):
            counts[os.path.realpath(path)] += count
        return dict(counts)

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._codes.setdefault(id(frame.f_code), frame.f_code)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            self._opened[os.fsdecode(arguments[0])] += 1

    def _count_safe_open(self) -> None:
        """Count safetensors' own opening of a file, which no audit hook sees."""
        import safetensors

        original, opened = safetensors.safe_open, self._opened

        class CountedOpen:
            """A class, as the original: libraries name it in annotations."""

            def __new__(cls, filename: Any, *arguments: Any, **settings: Any) -> Any:
                opened[os.fsdecode(filename)] += 1
                return original(filename, *arguments, **settings)

        safetensors.safe_open = CountedOpen  # type: ignore[misc]


def main(words: Sequence[str]) -> None:
    """Do what the module's docstring says."""
    if words[0] == "--corpus":
        write_corpus(Path(words[1]))
        return
    commands, trace = json.loads(Path(words[0]).read_text()), "--trace" in words
    recorder = Recorder()
    if trace:
        recorder.start()
    record: dict[str, Any] = {"results": [run_command(command) for command in commands]}
    if trace:
        recorder.stop()
        package = package_folder()
        record["functions"], record["modules"] = recorder.functions(package), recorder.modules(package)
        record["opened"] = recorder.opened()
    Path(words[1]).write_text(json.dumps(record))


def run_command(command: Sequence[str]) -> dict[str, Any]:
    """Run one command line as `python -m lorarar.cli` would."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["lorarar", *command]
    with redirect_stdout(out), redirect_stderr(err):
        try:
            runpy.run_module("lorarar.cli", run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except Exception:
            traceback.print_exc()
            code = _CRASHED
    return {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()[-_TAIL:]}


def package_folder() -> Path:
    """The folder of the package that this process runs."""
    spec = importlib.util.find_spec("lorarar")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent


def write_corpus(folder: Path) -> None:
    """Write the test corpus, one folder a case: x.safetensors, and what lies beside it.

    A folder ``base`` holds the base model's weights where the case has any.
    """
    from safetensors.torch import save_file

    from tests.formats.corpus import CASES

    for number, (name, make) in enumerate(CASES.items()):
        case, place = make(), folder / f"{number:02d}"
        place.mkdir(parents=True)
        (place / "name.txt").write_text(name)
        if case.beside is not None:
            (place / "adapter_config.json").write_text(json.dumps(case.beside))
        if case.data is not None:
            (place / "x.safetensors").write_bytes(case.data)
        else:
            save_file(dict(case.tensors), place / "x.safetensors", metadata=dict(case.header) if case.header else None)
        if case.base:
            (place / "base").mkdir()
            weights = {f"{path}.weight": weight.contiguous() for path, weight in case.base.items()}
            save_file(weights, place / "base" / "model.safetensors")


def _within(package: Path, file: str) -> str:
    """A file's path below the package's parent, or "" if it lies elsewhere."""
    path = Path(file)
    return path.relative_to(package.parent).as_posix() if path.is_relative_to(package) else ""


if __name__ == "__main__":
    main(sys.argv[1:])
