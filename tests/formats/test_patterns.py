"""lorarar.formats.patterns against Python's engine, and without its long runs."""

from __future__ import annotations

import re
import time

import pytest

from lorarar.formats.patterns import path_matches, whole_path_matches

PATHS = ("blocks.0.attentions.1.to_q", "a.b.10.q_proj", "to_q", "layers.3.self_attn.q_proj", "a.xto_q", "layers")
PATTERNS = (
    "to_q", "^to_q", "q_proj|k_proj", "(q|k)_proj", r"layers\.\d+\.self_attn.*", ".*q", r"^layers\.[0-9]+.*_proj$",
    "[^.]*to_q", r"blocks.*to_(q|k)", "(a|b)+.*", "x?to_q", r"(?:self_attn|mlp)\.(q|k)_proj", r"\w+\.\d+.*",
    "self_attn.q_proj", r"(b\.10\.)?q_proj", "^(layers)", r"[a-c]\.[\w]\.10.*?proj",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_matches_are_those_of_python(pattern: str) -> None:
    for path in PATHS:
        assert path_matches(pattern, path) == bool(re.match(rf"(.*\.)?({pattern})$", path)), path
        assert whole_path_matches(pattern, path) == bool(re.fullmatch(pattern, path)), path


@pytest.mark.parametrize(
    "pattern",
    [
        "((([a-z_0-9.]+)+)+)+X",
        "(a*)*",
        "((a?)b)+",
        "(" * 90 + "a" + ")*" * 90,
        "a{2}",
        "(?=x)",
        r"\bq",
        "a)",
        "(a",
        "[a",
    ],
)
def test_what_is_not_supported_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"quantifier|supported|unbalanced|without \)|characters"):
        path_matches(pattern, "a" * 100)


def test_no_pattern_takes_long() -> None:
    start = time.perf_counter()
    for pattern in (".*.*.*.*.*.*.*.*.*.*X", r"(a|aa|aaa|aaaa)+X", r"\w*\w*\w*\w*\w*\w*\w*X"):
        assert not path_matches(pattern, "a" * 300)
    assert time.perf_counter() - start < 1
