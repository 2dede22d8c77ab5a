"""lorarar.storage.suggestions: the nearest known name."""

from __future__ import annotations

from lorarar.storage.suggestions import unknown_name


def test_the_nearest_name_is_suggested() -> None:
    message = "expected a merger among direct, ties, found 'tise': did you mean 'ties'?"
    assert unknown_name("a merger", "tise", ["direct", "ties"]) == message


def test_nothing_near_is_no_suggestion() -> None:
    assert unknown_name("a merger", "xyz", ["direct"]) == "expected a merger among direct, found 'xyz'"
    assert unknown_name("options of direct", "mu", []) == "expected options of direct among none, found 'mu'"
