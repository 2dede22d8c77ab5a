"""lorarar.storage.hashing: equal data have equal digests, in any order of keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lorarar.storage.hashing import digest, sha256


def test_a_file_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one chunk
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_the_order_of_keys_does_not_count_and_values_do() -> None:
    first = digest({"a": [1, 2.5, None], "b": {"c": True}})
    assert first == digest({"b": {"c": True}, "a": (1, 2.5, None)})
    assert first != digest({"a": [1, 2.5, None], "b": {"c": False}})
    assert first != digest({"a": [2.5, 1, None], "b": {"c": True}})


def test_what_json_cannot_hold_counts_as_its_text() -> None:
    assert digest({"path": Path("a") / "b"}) == digest({"path": "a/b"})


def test_a_digest_stays_what_it_was() -> None:
    """Caches of earlier runs are found by it."""
    assert digest({"b": 1, "a": [1, "x"]}) == hashlib.sha256(b'{"a": [1, "x"], "b": 1}').hexdigest()
