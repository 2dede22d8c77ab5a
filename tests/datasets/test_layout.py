"""lorarar.datasets.layout: one way to read a path, or none."""

from __future__ import annotations

import pytest

from lorarar.datasets.layout import parse_layout

NAMES = {"content": ["cat", "cat_2", "cat2", "dog"], "style": ["ink", "oil_painting", "oil_painting2"]}


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (
            "{method}/{content}+{style}/{seed}.png",
            "a_1/cat_2+oil_painting/7.png",
            [{"method": "a_1", "content": "cat_2", "style": "oil_painting", "seed": "7"}],
        ),
        ("{content}_{style}.png", "cat_2_ink.png", [{"content": "cat_2", "style": "ink"}]),
        ("{content}_{style}_{seed}.png", "cat_ink_2.png", [{"content": "cat", "style": "ink", "seed": "2"}]),
        (
            "{content}{seed}_{style}.png",
            "cat21_ink.png",
            [{"content": "cat", "seed": "21", "style": "ink"}, {"content": "cat2", "seed": "1", "style": "ink"}],
        ),
        (
            "{method}_{content}_{style}.png",
            "x_cat_2_ink.png",
            [{"method": "x", "content": "cat_2", "style": "ink"}],
        ),
        ("{method}_{content}_{style}.png", "dog_dog_ink.png", [{"method": "dog", "content": "dog", "style": "ink"}]),
        ("{content}/{content}+{style}.png", "dog/dog+ink.png", [{"content": "dog", "style": "ink"}]),
        ("{content}/{content}+{style}.png", "cat/dog+ink.png", []),
        ("{content}+{style}.png", "sub/dog+ink.png", []),
        ("{content}+{style}.png", "dog+ink.png.txt", []),
        ("{content}+{style}.png", "xdog+ink.png", []),
        ("{content}+{style}.png", "dog+inkXpng", []),
        ("{content}+{style}/{seed}.png", "dog+ink/-1.png", []),
        ("{content}+{style}/{seed}.png", "dog+ink/\u0661.png", []),
        ("{prompt_type}/{content}+{style}.png", "trigger/dog+ink.png",
         [{"prompt_type": "trigger", "content": "dog", "style": "ink"}]),
        ("{prompt_type}/{content}+{style}.png", "other/dog+ink.png", []),
    ],
)  # fmt: skip
def test_readings(pattern: str, path: str, expected: list[dict[str, str]]) -> None:
    assert parse_layout(pattern, NAMES).readings(path) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{method}/{seed}.png", r"found no \['content', 'style'\]"),
        ("{content}+{stile}.png", "stile"),
        ("{content}+{style", "unpaired brace"),
        ("{content}+{}{style}.png", r"found \[''\]"),
        ("{content!r}+{style}.png", "unpaired brace"),
    ],
)
def test_patterns_that_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_layout(pattern, NAMES)
