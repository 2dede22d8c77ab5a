"""Work for the tests of engines: numbers are squared into files, one fails, one kills its worker once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

FAILS, KILLS = 3, 5


def open_squares(folder: Path) -> Callable[[int], int]:
    def square(number: int) -> int:
        if number == FAILS:
            raise ValueError("expected no three, found one")
        if number == KILLS and not (folder / "died").exists():
            (folder / "died").touch()
            os._exit(1)
        (folder / f"{number}.txt").write_text(str(number * number))
        return number * number

    return square


def open_broken() -> Callable[[int], int]:
    def broken(number: int) -> int:
        raise TypeError("a fault of the program")

    return broken
