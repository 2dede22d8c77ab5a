"""lorarar.benchmark.quality.rows: rows that cannot be compared are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.benchmark.quality.config import QualityConfig, RowConfig
from lorarar.benchmark.quality.rows import check_rows, read_rows
from lorarar.benchmark.quality.settings import MergerSettings, PairSettings
from lorarar.storage.run_folder import ConfigError
from tests import ROOT


def test_trials_are_over_the_row_settings(config: QualityConfig) -> None:
    row = RowConfig("a", "pair", "ziplora", {"similarity": 0.0, "steps": 9}, [{"steps": 5}, {"images": 2}])
    (read,) = read_rows(replace(config, methods=[row], budget=2))
    assert isinstance(read.own.settings, PairSettings)
    assert read.own.settings.method.recipe.steps == 9
    first, second = read.trials
    assert first.changes == {"steps": 5}
    assert first.stated == {"similarity": 0.0, "steps": 5}
    for variant, steps, images in ((first, 5, 1), (second, 9, 2)):
        assert isinstance(variant.settings, PairSettings)
        assert (variant.settings.method.recipe.steps, variant.settings.method.images) == (steps, images)
        assert variant.settings.method.weights.similarity == 0.0


def test_rows_keep_their_order_and_their_kind(tuned: QualityConfig) -> None:
    rows = read_rows(tuned)
    assert [(row.name, row.kind, row.competes) for row in rows] == [
        ("base", "base", False),
        ("direct", "merger", True),
        ("scalars", "merger", True),
    ]
    trial = rows[2].trials[1].settings
    assert isinstance(trial, MergerSettings)
    assert trial.weights == (0.7, 0.9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": []}, "names of their own, found none"),
        ({"methods": [RowConfig("a", "base"), RowConfig("a", "style")]}, r"found \['a'\]"),
        ({"compared": [["direct", "nothing"]]}, r"found \['nothing'\]"),
        ({"methods": [RowConfig("a", "merger")]}, "a: expected a source, a row of `lorarar mergers`"),
        (
            {"methods": [RowConfig("a", "merger", "ties", tried=[{"density": 0.1}, {"densty": 0.1}])]},
            "a: .*found 'densty': did you mean 'density'",
        ),
        ({"budget": 3}, "scalars: expected 3 settings to try, as many as for every other tuned row"),
        ({"classifier": None}, "found neither"),
        ({"classifier": None, "judge": "tiny"}, "scalars: expected a classifier"),
        (
            {
                "classifier": None,
                "judge": "tiny",
                "methods": [RowConfig("t", "truth", settings={"steps": 1, "learning_rate": 0.1, "images": 1})],
            },
            "t: expected a classifier",
        ),
    ],
)
def test_wrong_rows(tuned: QualityConfig, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_rows(replace(tuned, **changes))  # type: ignore[arg-type]


def test_what_rows_name_is_checked_before_anything_runs(config: QualityConfig, tmp_path: Path) -> None:
    broken = tmp_path / "network.safetensors"
    broken.write_text("nothing")
    train = str(ROOT / "configs" / "train" / "embedded_paper.yaml")
    good = [RowConfig("good", "merger", "ties", {"density": 0.5}), RowConfig("trained", "trained", train)]
    wrong = [
        RowConfig("dense", "merger", "ties", {"density": 0.5}, [{"density": 1.5}]),
        RowConfig("learned", "trained", train, {"options.hiden": 8, "monitor": "validation/jiont"}),
        RowConfig("without LoRAs", "trained", train, {"loras": str(tmp_path)}),
        RowConfig("file", "file", str(broken)),
    ]
    check_rows(read_rows(replace(config, methods=good)))
    with pytest.raises(ConfigError) as error:
        check_rows(read_rows(replace(config, methods=[*good, *wrong], budget=1)))
    for part in (
        "dense: expected",
        "learned: expected an option of the merger",
        "found 'hiden': did you mean 'hidden'",
        "found 'validation/jiont'",
        f"without LoRAs: expected a LoRA NAME.safetensors for each of 96 concepts in {tmp_path}",
        "file: ",
    ):
        assert part in str(error.value)
    assert "good" not in str(error.value)
    assert "trained" not in str(error.value).replace("train/", "")
