"""A studio in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def studio(work: Path, *arguments: str) -> Iterator[int]:
    """Yield the port of a running studio; its process ends with the context."""
    port = free_port()
    words = ["studio", *arguments, "-o", str(work), "--port", str(port), "--no-browser"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LORARAR_PROGRESS": "lines"}
    with open(work / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lorarar.cli", *words], stdout=log, stderr=log, env=environment
        )
        try:
            deadline = time.monotonic() + 300
            while not answers(port):
                assert process.poll() is None, (work / "log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline, "the studio did not start"
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    """Return a port of this machine that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Return whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
