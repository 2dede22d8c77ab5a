"""Progress: one live bar on stderr for the stages of the work, and single lines about it.

On a terminal the stages are lines of one bar, of which inner ones vanish when they end. Elsewhere, as in a log file or
a notebook, a stage that lasts prints a line when this is clear, one each half minute, and one when it ends. Tests and
CI see nothing. The variable LORARAR_PROGRESS overrides this choice: `bar`, `lines` or `off`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from lorarar.storage.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_LONG_SECONDS = 5.0  # shorter stages print no line
_NEXT_SECONDS = 30.0  # between the lines of one stage
T = TypeVar("T")


class Stage:
    """A stage of the work; call it with the number of units that are done since the last call.

    Attributes:
        name: Its name, such as "sample".
        total: Number of units; None where it is not known.
        unit: A unit in the plural, such as "images".
        done: Units done.
    """

    def __init__(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.name, self.total, self.unit, self.done, self.note = name, total, unit, 0, ""

    def __call__(self, count: int = 1, note: str | None = None) -> None:
        """Count units as done.

        Args:
            count: Number of units.
            note: Text beside the bar, such as "loss 0.12"; None keeps the last one.
        """
        self.done += count
        self.note = self.note if note is None else note
        self.show()
        for observer in _OBSERVERS:
            observer(self)

    def show(self) -> None:
        """Show the present state; this stage is silent."""

    def close(self) -> None:
        """Show the last state."""

    def __str__(self) -> str:
        """Return the state as text: "sample: 3/10 images"."""
        counts = self.total is not None or self.done > 0
        count = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
        named = f"{self.name}: {count} {self.unit}".rstrip() if counts else self.name
        return named + (f", {self.note}" if self.note else "")


class _Line(Stage):
    """A stage in a log: one line once it has lasted long, one each half minute, one at its end."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        super().__init__(name, total, unit)
        self._start, self._next = time.monotonic(), _LONG_SECONDS

    def show(self) -> None:
        if self.done != self.total and self._seconds() > self._next:
            self._next = self._seconds() + _NEXT_SECONDS
            print(f"{self}, {self._seconds():.0f} s ..", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._seconds() > _LONG_SECONDS:
            print(f"{self}, {self._seconds():.0f} s", file=sys.stderr, flush=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._start


class _Bar(Stage):
    """A line of the live bar."""

    def __init__(self, live: Progress, name: str, total: int | None, unit: str) -> None:
        super().__init__(name, total, unit)
        self._live = live
        self.task: TaskID = live.add_task(name, total=total, unit=unit, left="left" if total else "", note="")

    def show(self) -> None:
        self._live.update(self.task, completed=self.done, note=self.note)

    def close(self) -> None:
        self._live.update(self.task, completed=self.done, note=self.note, total=self.total or self.done)


class _Display:
    """The stages that are open now. There is one terminal, so there is one display for the process."""

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), 0
        self._live: Progress | None = None

    def open(self, name: str, total: int | None, unit: str) -> Stage:
        with self._lock:
            self._open += 1
            how = _choice()
            if how == "bar" and self._live is None and self._open == 1:
                self._live = _new_bar()
                self._live.start()
            if how == "bar" and self._live is not None:
                return _Bar(self._live, name, total, unit)
            return _Line(name, total, unit) if how == "lines" and self._open == 1 else Stage(name, total, unit)

    def close(self, stage: Stage) -> None:
        with self._lock:
            self._open -= 1
            stage.close()
            if self._live is not None and self._open == 0:
                self._live.live.transient = stage.total is None  # a stage that counts nothing leaves no line
                self._live.stop()
                self._live = None
            elif self._live is not None and isinstance(stage, _Bar):
                self._live.remove_task(stage.task)


_DISPLAY = _Display()
_OBSERVERS: list[Callable[[Stage], None]] = []


@contextmanager
def observed_progress(observer: Callable[[Stage], None]) -> Iterator[None]:
    """Call a function after each unit of any stage until the context closes.

    Args:
        observer: Function of the stage, such as one that shows it in another program. What it raises ends the work.
    """
    _OBSERVERS.append(observer)
    try:
        yield
    finally:
        _OBSERVERS.remove(observer)


@contextmanager
def progress(stage: str, total: int | None = None, unit: str = "") -> Iterator[Stage]:
    """Show a stage of the work until the context closes: `with progress("sample", 10, "images") as advance`.

    Args:
        stage: Name of the stage, an imperative: "sample", "train zoo".
        total: Number of units; None where it is not known.
        unit: A unit in the plural, such as "images".

    Yields:
        A function that counts units as done: `advance(n)`, `advance(n, note="loss 0.12")`.
    """
    opened = _DISPLAY.open(stage, total, unit)
    try:
        yield opened
    finally:
        _DISPLAY.close(opened)


def track(iterable: Iterable[T], stage: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield the elements, each counted as done when the next one is asked for; see `progress`.

    Args:
        iterable: The elements.
        stage: Name of the stage.
        total: Number of elements; by default the length of the iterable, where it has one.
        unit: A unit in the plural, such as "images".
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with progress(stage, total, unit) as advance:
        for element in iterable:
            yield element
            advance()


def say(line: str) -> None:
    """Print one line for the reader on stderr, above the bar where one is live; silent in other processes of one run.

    Args:
        line: The line.
    """
    if os.environ.get("LORARAR_PROGRESS") != "off" and os.environ.get("LOCAL_RANK", "0") == "0":
        print("\n".join(map(printable, line.splitlines())), file=sys.stderr, flush=True)


@cache
def say_device(device: str, dtype: str) -> None:
    """Say once in a process where the work is done: "device: cpu, dtype: fp32".

    Args:
        device: Name of the device.
        dtype: Name of the type that the base computes in.
    """
    say(f"device: {device}, dtype: {dtype}")


def _choice() -> Literal["bar", "lines", "off"]:
    """Return how progress is shown: as the variable says, else as the surroundings suggest."""
    chosen = os.environ.get("LORARAR_PROGRESS", "")
    if os.environ.get("LOCAL_RANK", "0") != "0":  # one of several processes speaks
        return "off"
    if chosen in ("bar", "lines", "off"):
        return cast(Literal["bar", "lines", "off"], chosen)
    if "PYTEST_CURRENT_TEST" in os.environ or "CI" in os.environ:
        return "off"
    if "ipykernel" in sys.modules:  # its stderr claims to be a terminal, and rich's own bars need ipywidgets there
        return "lines"
    return "bar" if sys.stderr.isatty() and _is_rich_enough() else "lines"


def _is_rich_enough() -> bool:
    return os.environ.get("TERM", "") not in ("dumb", "unknown")


def _new_bar() -> Progress:
    """Return a bar on stderr. Output to stdout goes above it where both are the terminal, and stays untouched else."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_console(),
        refresh_per_second=4,
        speed_estimate_period=600,  # of steps that take half a minute too, the time left is estimated
        redirect_stdout=sys.stdout.isatty(),
    )


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)
