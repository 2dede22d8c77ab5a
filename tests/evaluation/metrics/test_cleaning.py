"""Prompt cleaning."""

from __future__ import annotations

import pytest

from lorarar.evaluation.metrics.cleaning import clean_prompt


@pytest.mark.parametrize(
    ("prompt", "triggers", "expected"),
    [
        ("a sks cat in szn style", ["sks", "szn"], "a cat in style"),
        ("a sks cat in  szn style", ["sks", "szn", "in szn style"], "a cat"),  # the phrase goes before its words
        ("SKS, a cat, sks", ["sks"], "a cat"),
        ("a sksy cat, brisks", ["sks"], "a sksy cat, brisks"),  # whole words only
        ("sks", ["sks"], ""),
        ("a <s1> cat (v1.0)", ["<s1>", "(v1.0)"], "a cat"),
        ("a  cat ,, dog", [], "a cat, dog"),
        ("a cat", ["", " "], "a cat"),
        ("ein Käfer, käfer", ["KÄFER"], "ein"),
    ],
)
def test_triggers_are_removed(prompt: str, triggers: list[str], expected: str) -> None:
    assert clean_prompt(prompt, triggers) == expected
