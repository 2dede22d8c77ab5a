"""lorarar.benchmark.quality.config: rows that cannot be compared are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lorarar.benchmark.quality.config import MethodConfig, QualityConfig, check
from lorarar.storage.run_folder import ConfigError


def test_the_rows_of_the_fixture_are_good(tuned: QualityConfig) -> None:
    check(tuned)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": []}, "names of their own, found none"),
        ({"methods": [MethodConfig("a", "base"), MethodConfig("a", "style")]}, r"found \['a'\]"),
        ({"compared": [["direct", "nothing"]]}, r"found \['nothing'\]"),
        ({"methods": [MethodConfig("a", "merger")]}, "a: expected a source, a row of `lorarar mergers`"),
        ({"budget": 3}, "scalars: expected 3 settings to try, as many as for every other tuned row"),
        ({"classifier": None}, "found neither"),
        ({"classifier": None, "judge": "tiny"}, "scalars: expected a classifier"),
    ],
)
def test_wrong_rows(tuned: QualityConfig, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(replace(tuned, **changes))  # type: ignore[arg-type]
