"""What a prompt asks for: attributes that it names take the place of the concept's."""

from __future__ import annotations

import pytest

from lorarar.datasets.prompts import load_prompt_set
from lorarar.worlds.toy.attributes import Style, Subject
from lorarar.worlds.toy.prompted import apply_prompt
from tests.datasets.test_prompts import FOLDER

CAT = Subject(0, 2, 3, 1)  # green cat with black half
DEEP_GREEN_CHECKS = Style(3, 8, 0, 0)  # deep green checks bare flat


@pytest.mark.parametrize(
    ("prompt", "subject", "style"),
    [
        ("a sks cat in szn style", CAT, DEEP_GREEN_CHECKS),
        ("sks in szn style", CAT, DEEP_GREEN_CHECKS),
        ("a sks cat with white stripes in szn style", Subject(0, 2, 0, 0), DEEP_GREEN_CHECKS),
        ("a sks cat in rings szn style", CAT, Style(4, 8, 0, 0)),
        ("a sks cat in light cyan rings framed shaded style", CAT, Style(4, 3, 3, 1)),
        ("a sks cat with black dots", Subject(0, 2, 1, 1), DEEP_GREEN_CHECKS),
        ("a red star with inverse cross in szn style", Subject(6, 0, 4, 2), DEEP_GREEN_CHECKS),
        ("szn style", CAT, DEEP_GREEN_CHECKS),
    ],
)
def test_what_is_named_replaces_what_the_concept_has(prompt: str, subject: Subject, style: Style) -> None:
    assert apply_prompt(CAT, DEEP_GREEN_CHECKS, prompt) == (subject, style)


def test_a_full_description_is_read_back() -> None:
    shown = Subject(5, 3, 2, 2)
    assert apply_prompt(CAT, DEEP_GREEN_CHECKS, f"a {shown.words()} in szn style") == (shown, DEEP_GREEN_CHECKS)


def test_every_altered_prompt_of_the_shipped_sets_asks_for_a_change() -> None:
    words = {"phrase": ["a sks cat"], "content": ["a sks cat"], "style": ["szn style"], "token": ["sks"]}
    for name in ("toyworld_content", "toyworld_pair"):
        found = load_prompt_set(FOLDER / f"{name}.yaml")
        for prompt in found.fill({field: words[field] for field in found.fields}):
            changed = tuple(
                a != b
                for a, b in zip(
                    apply_prompt(CAT, DEEP_GREEN_CHECKS, prompt.text), (CAT, DEEP_GREEN_CHECKS), strict=True
                )
            )
            if prompt.type == "alter":
                assert changed == (True, False)
            elif prompt.type != "style":
                assert changed == (False, False)
