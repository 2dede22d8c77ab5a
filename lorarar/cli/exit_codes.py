"""Exit codes: what the number means that a command ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; `MEANINGS` has a sentence for each."""

    SUCCESS = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    UNCALIBRATED = 4
    BUDGET = 5
    OUT_OF_MEMORY = 6
    MISSING = 7
    INTERRUPTED = 130


# By the status of a judging run, see `lorarar.evaluation.judge.Status`.
OF_JUDGE = {
    "complete": ExitCode.SUCCESS,
    "incomplete": ExitCode.UNREACHABLE,
    "uncalibrated": ExitCode.UNCALIBRATED,
    "budget": ExitCode.BUDGET,
}

MEANINGS = {
    ExitCode.SUCCESS: "the command did its work",
    ExitCode.FAILED: "an input cannot be used, or the work failed",
    ExitCode.USAGE: "the command line is wrong: an unknown command or option, or a bad value",
    ExitCode.UNREACHABLE: "a server does not answer, or a judging run is incomplete",
    ExitCode.UNCALIBRATED: "the judge failed its calibration",
    ExitCode.BUDGET: "the judge reached the limit of calls",
    ExitCode.OUT_OF_MEMORY: "the device or the computer is out of memory",
    ExitCode.MISSING: "a package or a back end is not installed",
    ExitCode.INTERRUPTED: "the command was interrupted (Ctrl-C)",
}
