"""lorarar.formats.embeddings: keys of learned tokens, and the file for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.formats.embeddings import embeddings_file, is_embedding


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("<s1>", True),
        ("bundle_emb.cat.string_to_param.*", True),
        ("<>", False),
        ("bundle_emb.", False),
        ("unet.conv_in.lora_A.weight", False),
    ],
)
def test_keys_of_learned_tokens(key: str, expected: bool) -> None:
    assert is_embedding(key) == expected


def test_a_path_without_the_ending_gets_it() -> None:
    assert embeddings_file(Path("out/v1.5")) == Path("out/v1.5.embeddings.safetensors")
