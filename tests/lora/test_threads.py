"""lorarar.lora.threads: the number of threads inside and after the context."""

from __future__ import annotations

import pytest
import torch

from lorarar.lora.threads import one_thread


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
