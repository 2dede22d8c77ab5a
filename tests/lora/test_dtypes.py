"""lorarar.lora.dtypes: names of dtypes."""

from __future__ import annotations

import pytest
import torch

from lorarar.lora.dtypes import dtype_name, torch_dtype


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_a_name_gives_its_dtype(name: str, dtype: torch.dtype) -> None:
    assert torch_dtype(name) == dtype
    assert dtype_name(dtype) == name
    assert dtype_name(torch.float64) == "float64"


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match="expected a dtype among fp16, bf16, fp32, found 'bf61': did you mean 'bf16'"):
        torch_dtype("bf61")
