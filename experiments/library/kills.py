"""Two processes add the same folder at once; one of them is killed at a random point. Does the index stay whole?

python experiments/library/kills.py
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from multiprocessing.context import ForkProcess
from pathlib import Path

from collection import HERE

from lorarar.library import FINGERPRINTS, Library
from lorarar.storage import write_json

ROUNDS = 20
RUNS, FILES = Path("runs/library/kills"), Path("runs/library/scale/files")
FORKS = multiprocessing.get_context("fork")


def main() -> None:
    """Kill, finish, check; 20 times. Each round begins with a new index; the victim dies while it writes."""
    chance = random.Random(0)
    rows = []
    for number in range(ROUNDS):
        shutil.rmtree(RUNS, ignore_errors=True)
        (RUNS / "loras").mkdir(parents=True)
        for path in sorted(FILES.glob("*.safetensors"))[:120]:
            (RUNS / "loras" / path.name).hardlink_to(path)
        index = RUNS / "index.sqlite"
        adders = [FORKS.Process(target=add, args=(index,)) for _ in range(2)]
        for adder in adders:
            adder.start()
        held = wait_for_entries(index, adders)
        time.sleep(chance.uniform(0, 5))
        adders[0].kill()
        for adder in adders:
            adder.join()
        codes = [adder.exitcode for adder in adders]
        with Library(index) as library:
            whole = library.execute("PRAGMA integrity_check").fetchone()[0]
            orphans = library.execute(
                "SELECT count(*) FROM files WHERE entry NOT IN (SELECT id FROM entries)"
            ).fetchone()[0]
            before = len(library)
            library.add([RUNS / "loras"])
            vectors = [len(library.all_vectors(name)[0]) for name in FINGERPRINTS]
            rows.append(
                {
                    "killed": codes[0] == -signal.SIGKILL,
                    "other process": codes[1],
                    "entries when killed, at least": held,
                    "entries after": before,
                    "integrity": whole,
                    "orphans": orphans,
                    "complete": len(library) == 120 and vectors == [120] * len(FINGERPRINTS),
                }
            )
        print(number, rows[-1], flush=True)
    write_json(HERE / "kills.json", {"rounds": rows, "whole": sum(row_is_whole(row) for row in rows)})


def row_is_whole(row: dict[str, object]) -> bool:
    """Return whether the index was sound and the surviving process finished."""
    return row["integrity"] == "ok" and row["orphans"] == 0 and bool(row["complete"]) and row["other process"] == 0


def add(index: Path) -> None:
    """Add the folder, in a process of its own."""
    with Library(index) as library:
        library.add([RUNS / "loras"])


def wait_for_entries(index: Path, adders: list[ForkProcess]) -> int:
    """Wait until an entry is there; return the number of entries."""
    while all(adder.is_alive() for adder in adders):
        if index.exists():
            with Library(index) as library:
                if len(library):
                    return len(library)
        time.sleep(0.05)
    return 0


if __name__ == "__main__":
    main()
