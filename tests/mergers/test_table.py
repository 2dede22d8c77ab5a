"""lorarar.mergers.table: the rows and their settings."""

from __future__ import annotations

import pytest

from lorarar.mergers.table import MERGERS, find_merger
from tests.tiny import two_block_lora


@pytest.mark.parametrize("name", MERGERS)
def test_every_row_is_complete(name: str) -> None:
    merger = MERGERS[name]
    assert merger.name == name
    assert merger.citation
    assert merger.kind in ("coefficients", "delta", "runtime")
    assert (merger.predicted([two_block_lora(1)] * 2) is not None) == (merger.pair is not None)


def test_settings_are_checked() -> None:
    dare = MERGERS["dare"]
    assert dare.settings({"seed": 3.0}) == {"density": 0.5, "seed": 3}
    assert isinstance(dare.settings({"seed": 3.0})["seed"], int)
    with pytest.raises(
        ValueError, match=r"an option of dare among density, seed, found 'densty': did you mean 'densit"
    ):
        dare.settings({"densty": 1})
    with pytest.raises(ValueError, match=r"among none, found 'mu'"):
        MERGERS["direct"].settings({"mu": 1})
    with pytest.raises(ValueError, match="whole number for option seed of dare, found 0.5"):
        dare.settings({"seed": 0.5})


def test_needs_follow_from_the_kind_of_merger() -> None:
    needs = {name: info.needs for name, info in MERGERS.items() if info.needs}
    assert needs == {
        **dict.fromkeys(("constant", "paper", "layerwise"), "network"),
        **dict.fromkeys(("ziplora", "ziplora_pytorch", "cat", "ziprank", "nsc"), "base images"),
        "text_guided": "base descriptions",
        "ssr": "base prompts",
    }


def test_unknown_and_old_names_are_refused() -> None:
    assert find_merger("ties").name == "ties"
    with pytest.raises(ValueError, match="expected a merger among auto, .*, found 'tiess': did you mean 'ties'"):
        find_merger("tiess")
    for old, new in (("words", "text_guided"), ("invariant", "layerwise")):
        with pytest.raises(ValueError, match=f"expected '{new}', found its old name '{old}': rename it"):
            find_merger(old)
