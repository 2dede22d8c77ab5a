"""lorarar.lora.threads: the number of threads inside and after the context; results of several threads in order."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from lorarar.lora.threads import in_threads, one_thread


def fail_in_one_thread() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError


def test_the_number_of_threads_is_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError):
            fail_in_one_thread()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_layers_are_computed_side_by_side_and_come_in_order() -> None:
    def slower_first(item: int) -> tuple[int, int, bool]:
        time.sleep(0.02 * (3 - item))
        return item, torch.get_num_threads(), torch.is_grad_enabled()

    start = time.perf_counter()
    with torch.no_grad():
        assert list(in_threads(slower_first, range(3))) == [(0, 1, False), (1, 1, False), (2, 1, False)]
    assert time.perf_counter() - start < 0.11  # the waits add up to 0.12 seconds
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_an_error_leaves_the_other_layers_uncomputed() -> None:
    computed = []

    def fail_first(item: int) -> None:
        if item == 0:
            raise KeyError(item)
        time.sleep(0.01)
        computed.append(item)

    with pytest.raises(KeyError):
        list(in_threads(fail_first, range(100)))
    assert len(computed) < 20
    assert torch.get_num_threads() == 3
