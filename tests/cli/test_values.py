"""lorarar.cli.values: what the value of an option may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lorarar.cli.values import (
    DTYPES,
    block,
    choice,
    grouped,
    kinds,
    merger_name,
    number,
    numbers,
    seeds,
    setting,
    settings,
    whole_number,
    word,
)


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (number, "-0.5", -0.5),
        (whole_number, "4", 4),
        (numbers, "0.8,1", [0.8, 1.0]),
        (numbers, "-1", [-1.0]),
        (seeds, "0,1,2", [0, 1, 2]),
        (kinds, "content,style", ["content", "style"]),
        (setting, "density=0.3", ("density", 0.3)),
        (block, "mid_block=0,1", ("mid_block", [0.0, 1.0])),
        (word, "style=a=b", ("style", "a=b")),
        (word, "style=", ("style", "")),
        (merger_name, "ties", "ties"),
        (choice("a dtype", *DTYPES), "bf16", "bf16"),
    ],
)
def test_a_value_is_read(read: Callable[[str], Any], text: str, expected: object) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (number, "half", "expected a number, found 'half': write it as 0.5"),
        (whole_number, "4.5", "expected a whole number, found '4.5': write it as 4"),
        (numbers, "1,b", "expected a number, found 'b' in '1,b': write the list as 0.8,1"),
        (seeds, "0;1", "expected a whole number, found '0;1' in '0;1': write the list as 0,1,2"),
        (kinds, "content,stile", "expected a kind among content, style, found 'stile': did you mean 'style'"),
        (setting, "density", "expected NAME=NUMBER, found 'density': put = between the two"),
        (setting, "density=x", "expected a number for density, found 'x': write it as density=0.5"),
        (setting, "=1", "expected NAME=NUMBER, found '=1'"),
        (block, "mid_block", "expected PATH=W, found 'mid_block'"),
        (word, "style", "expected FIELD=TEXT, found 'style'"),
        (merger_name, "tise", "did you mean 'ties'"),
        (choice("a dtype", *DTYPES), "fp61", "expected a dtype among fp16, bf16, fp32, found 'fp61'"),
    ],
)
def test_a_value_of_another_form_is_refused(read: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ValueError, match="expected ") as caught:
        read(text)
    assert message in str(caught.value)


def test_repeated_options_are_collected() -> None:
    assert settings(None) == {}
    assert settings([setting("density=0.3"), setting("seed=1")]) == {"density": 0.3, "seed": 1.0}
    assert grouped([word("toy=cat"), word("toy=dog"), word("style=oil")]) == {"toy": ["cat", "dog"], "style": ["oil"]}
