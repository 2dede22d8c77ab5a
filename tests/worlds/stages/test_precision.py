"""lorarar.worlds.stages.precision: bf16 only where the processor computes in it."""

from __future__ import annotations

import pytest
import torch

from lorarar.worlds.stages.precision import fast_dtype


@pytest.mark.parametrize(
    ("capabilities", "cuda", "dtype"),
    [
        ({"amx_bf16": True}, False, "bf16"),
        ({"amx_bf16": False, "avx512_f": True}, False, "fp32"),
        ({}, False, "fp32"),
        ({"amx_bf16": True}, True, "fp32"),
    ],
)
def test_bf16_needs_amx(capabilities: dict[str, bool], cuda: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert fast_dtype() == dtype
