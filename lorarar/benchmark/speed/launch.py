"""Launcher: seconds and peak memory of a command, measured from a small process.

The peak of a process starts from that of its parent: a small command that a large process starts looks large.

    python -m lorarar.benchmark.speed.launch COMMAND ..
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence


def launch(command: Sequence[str]) -> dict[str, float]:
    """Run a command and return its "seconds", its "cpu_seconds" and the "peak_bytes" of its own memory.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": usage.ru_maxrss * 1024}


def run_launched(command: Sequence[str]) -> dict[str, float]:
    """Return what `launch` measures, with the launcher as a process of its own.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    launcher = [sys.executable, "-m", "lorarar.benchmark.speed.launch", *command]
    done = subprocess.run(launcher, check=True, stdout=subprocess.PIPE)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    print(json.dumps(launch(sys.argv[1:])))
