"""lorarar.formats.dialects.xlabs: accepted and rejected keys."""

from __future__ import annotations

import pytest

from lorarar.formats.dialects.xlabs import parse
from lorarar.formats.naming.keys import Key


@pytest.mark.parametrize(
    ("key", "path", "role"),
    [
        ("double_blocks.3.processor.qkv_lora1.down.weight", "double_blocks.3.img_attn.qkv", "down"),
        ("double_blocks.3.processor.proj_lora2.up.weight", "double_blocks.3.txt_attn.proj", "up"),
        ("diffusion_model.single_blocks.7.processor.proj_lora.up.weight", "single_blocks.7.linear2", "up"),
    ],
)
def test_accepted_keys(key: str, path: str, role: str) -> None:
    assert parse(key) == Key("XLabs", "", path, role)


@pytest.mark.parametrize(
    "key",
    [
        "double_blocks.3.processor.qkv_lora.down.weight",  # double blocks number their streams
        "single_blocks.3.processor.qkv_lora1.down.weight",  # single blocks do not
        "double_blocks.3.img_attn.qkv.lora_A.weight",
    ],
)
def test_keys_of_others(key: str) -> None:
    assert parse(key) is None
