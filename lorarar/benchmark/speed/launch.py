"""Seconds and peak memory of a command, from a process that is small itself.

A process's peak starts from that of the process that started it: measured from a large one, small commands look large.

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
    """Runs a command; "seconds", and "peak_bytes" of its own memory.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return {"seconds": seconds, "peak_bytes": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    print(json.dumps(launch(sys.argv[1:])))
