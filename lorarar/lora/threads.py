"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes with one thread until the context closes.

    Reading, scaling and writing are bound by memory, not by arithmetic. Several threads gain little there, and on a
    busy machine, where they wait for each other after each of thousands of small steps, they lose a factor of ten.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
