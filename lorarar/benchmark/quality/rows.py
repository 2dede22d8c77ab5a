"""Rows of the table, read from the configuration: every setting is checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorarar.benchmark.quality.config import QualityConfig, RowConfig, RowKind
from lorarar.benchmark.quality.settings import RowSettings, TruthSettings, read_settings
from lorarar.storage import ConfigError


@dataclass(frozen=True)
class Variant:
    """Settings that a row can have.

    Attributes:
        changes: What a trial states over the row's own settings; empty for the row's own.
        stated: All settings as the configuration states them.
        settings: The same as read.
    """

    changes: Mapping[str, Any]
    stated: Mapping[str, Any]
    settings: RowSettings


@dataclass(frozen=True)
class TableRow:
    """A row of the table, checked.

    Attributes:
        own: The row's own settings.
        trials: Settings that are tried on validation pairs; none for a row that is not tuned.
        training_seeds: Seeds of a trained merger.
    """

    name: str
    kind: RowKind
    own: Variant
    trials: tuple[Variant, ...]
    training_seeds: tuple[int, ...]

    @property
    def competes(self) -> bool:
        """Whether the row is a method, not a reference or a ceiling."""
        return self.own.settings.competes


def read_rows(config: QualityConfig) -> list[TableRow]:
    """Read and check all rows of a configuration.

    Raises:
        ConfigError: Rows clash, cannot be scored or tuned, or a setting is unknown; the message names the row.
    """
    if config.classifier is None and config.judge is None:
        raise ConfigError("expected a classifier or a judge, found neither: add one, images would stay without a score")
    _check_names([row.name for row in config.methods], config.compared)
    rows = []
    for row_config in config.methods:
        row = _read_row(row_config)
        _check_trials(config, row)
        rows.append(row)
    return rows


def _read_row(row: RowConfig) -> TableRow:
    variants = []
    for changes in ({}, *row.tried):
        stated = {**row.settings, **changes}
        try:
            variants.append(Variant(changes, stated, read_settings(row.kind, row.source, stated)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{row.name}: {error}") from error
    own, *trials = variants
    return TableRow(row.name, row.kind, own, tuple(trials), row.training_seeds)


def _check_names(names: Sequence[str], compared: Sequence[Sequence[str]]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated:
        raise ConfigError(f"expected methods with names of their own, found {repeated or 'none'}")
    unknown = sorted({name for pair in compared for name in pair} - set(names))
    if unknown:
        raise ConfigError(f"expected `compared` to name methods of the table, found {unknown}")


def _check_trials(config: QualityConfig, row: TableRow) -> None:
    if row.trials and len(row.trials) != config.budget:
        raise ConfigError(
            f"{row.name}: expected {config.budget} settings to try, as many as for every other tuned row (budget), "
            f"found {len(row.trials)}"
        )
    if config.classifier is None and (row.trials or isinstance(row.own.settings, TruthSettings)):
        raise ConfigError(
            f"{row.name}: expected a classifier, which scores images while settings are chosen, found none: choose the "
            "settings yourself, in `settings`, and drop `tried`"
        )
