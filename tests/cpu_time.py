"""A plugin of pytest that reports the CPU time of the whole run, with all worker and child processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

_KEY = "cpu_seconds"
_workers: list[float] = []


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(hookwrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Send the time of a worker to the controller, after everything that the session's end costs."""
    yield
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = cpu_seconds()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the time of a worker that has finished."""
    _workers.append(getattr(node, "workeroutput", {}).get(_KEY, 0.0))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the sum."""
    times = os.times()
    # The workers are children of the controller: counted once, by themselves.
    own = times.user + times.system if _workers else cpu_seconds()
    terminalreporter.write_line(f"CPU time: {(own + sum(_workers)) / 60:.1f} minutes")
