"""Work: one piece of work at a time in a thread of its own, with progress and cancel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from lorarar.storage import Stage, observed_progress

T = TypeVar("T")


class Cancelled(Exception):  # noqa: N818  # the user's wish
    """The user has cancelled the work."""


@dataclass(frozen=True)
class State:
    """State of the work.

    Attributes:
        text: What is being done, such as "preview: 3/10 images".
        share: Share that is done, 0 to 1; None where it is not known.
    """

    text: str
    share: float | None = None


@dataclass(frozen=True)
class Done(Generic[T]):
    """The end of the work.

    Attributes:
        value: What the work returned; None after an error.
        error: What ended it; None after success.
    """

    value: T | None = None
    error: Exception | None = None


class Worker:
    """Runs one piece of work at a time. Progress comes from `lorarar.storage.progress` of whatever runs inside."""

    def __init__(self) -> None:
        self._cancel, self._thread = threading.Event(), threading.Thread()

    def cancel(self) -> None:
        """End the work at its next unit, such as an image or a step of an optimisation."""
        self._cancel.set()

    def run(self, work: Callable[[], T]) -> Iterator[State | Done[T]]:
        """Run a piece of work; yield its states, then how it ended. The work goes on where nobody takes its states.

        Args:
            work: Function without arguments.

        Raises:
            ValueError: Another piece of work runs.
        """
        if self._thread.is_alive():
            raise ValueError("expected one piece of work at a time, found another: wait for it, or cancel it")
        self._cancel.clear()
        states: queue.SimpleQueue[State | Done[T]] = queue.SimpleQueue()

        def observe(stage: Stage) -> None:
            if self._cancel.is_set():
                raise Cancelled("cancelled; results that were saved before are kept")
            states.put(State(str(stage), stage.done / stage.total if stage.total else None))

        def target() -> None:
            try:
                with observed_progress(observe):
                    states.put(Done(work()))
            except Exception as error:
                states.put(Done(error=error))

        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()
        yield State("starting")
        ended = False
        while not ended:
            state = states.get()
            while not states.empty() and not isinstance(state, Done):
                state = states.get()  # the page needs the newest alone
            ended = isinstance(state, Done)
            yield state
        self._thread.join()
