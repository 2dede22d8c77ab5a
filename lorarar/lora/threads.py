"""Threads: a context in which torch computes on one thread, and layers computed side by side, a thread for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield the results of a function in the order of the items, as many computed at once as torch has threads.

    Each call computes on one thread: on the small matrices of a layer this is faster than several threads for one call,
    and the result does not depend on their number.

    Args:
        function: Function of an item, safe to call from several threads at once.
        items: The items, which a first error leaves uncomputed.
    """
    workers, with_gradients = torch.get_num_threads(), torch.is_grad_enabled()
    if workers == 1:
        yield from map(function, items)
        return

    def compute(item: _Item) -> _Result:
        with torch.set_grad_enabled(with_gradients):  # a setting of each thread
            return function(item)

    with one_thread():
        pool = ThreadPoolExecutor(workers)
        try:
            yield from pool.map(compute, items)
        finally:
            pool.shutdown(cancel_futures=True)
