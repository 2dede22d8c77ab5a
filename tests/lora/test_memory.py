"""lorarar.lora.memory: new tensors take the place of freed ones, without new pages from the system."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from lorarar.lora.memory import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="it has an effect with glibc alone")
def test_freed_tensors_are_kept() -> None:
    keep_freed_memory()
    x = torch.ones(2_000_000)
    (x + 1).mul_((x + 2).sum())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        (x + 1).mul_((x + 2).sum())  # two tensors of 8 MB, 2,000 pages each
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 4_000
