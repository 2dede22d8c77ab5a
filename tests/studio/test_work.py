"""One piece of work at a time, with progress and cancel."""

from __future__ import annotations

import threading

import pytest

from lorarar.storage import progress, track
from lorarar.studio.work import Cancelled, Done, State, Worker


def test_the_states_and_the_result_arrive() -> None:
    states = list(Worker().run(lambda: sum(track([1, 2, 3], "add", unit="numbers"))))
    assert states[0] == State("starting")
    assert states[-1] == Done(6)
    assert all(isinstance(state, State) for state in states[:-1])


def test_an_error_arrives() -> None:
    def fail() -> None:
        raise ValueError("no")

    last = list(Worker().run(fail))[-1]
    assert isinstance(last, Done)
    assert isinstance(last.error, ValueError)


def test_cancel_ends_the_work_at_its_next_unit_and_the_next_piece_runs() -> None:
    worker, going, units = Worker(), threading.Event(), []

    def work() -> None:
        with progress("draw", 3, "images") as advance:
            for number in range(3):
                units.append(number)
                advance()
                going.wait(10)

    running = worker.run(work)
    assert next(running) == State("starting")
    assert next(running) == State("draw: 1/3 images", 1 / 3)
    with pytest.raises(ValueError, match="one piece of work at a time, found another"):
        next(worker.run(lambda: 1))
    worker.cancel()
    going.set()
    last = list(running)[-1]
    assert isinstance(last, Done)
    assert isinstance(last.error, Cancelled)
    assert units == [0, 1]
    assert list(worker.run(lambda: sum(track([1], "add"))))[-1] == Done(1)  # the wish to cancel is forgotten
