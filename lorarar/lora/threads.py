"""Threads: a context in which torch computes on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread until the context closes.

    Memory bandwidth limits reading, scaling and writing. Several threads gain little there. On a busy machine they
    wait for each other after each of thousands of small steps, which can be ten times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
