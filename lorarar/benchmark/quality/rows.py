"""Rows of the table, read from the configuration: every setting is checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorarar.benchmark.quality.config import QualityConfig, RowConfig, RowKind
from lorarar.benchmark.quality.settings import (
    FileSettings,
    MergerSettings,
    PairSettings,
    RowSettings,
    TrainedSettings,
    TruthSettings,
    read_settings,
)
from lorarar.hypernetwork import load_network
from lorarar.lora import LoRA, LowRank
from lorarar.mergers import MergeRequest, combine
from lorarar.storage import ConfigError, check_inputs, join_mistakes
from lorarar.workflows import find_training_mistakes, train_plugins


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


def check_rows(rows: Sequence[TableRow]) -> None:
    """Check what rows name, before anything runs: networks, options' ranges, and what each training would load.

    Raises:
        ConfigError: The message names every row with a mistake.
    """
    mistakes = []
    for row in rows:
        found: dict[str, None] = {}  # trials share most mistakes
        for variant in (row.own, *row.trials):
            try:
                found |= dict.fromkeys(_file_mistakes(variant.settings))
            except (FileNotFoundError, KeyError, ValueError) as error:
                found[error.args[0] if isinstance(error, KeyError) else str(error)] = None
        mistakes += [f"{row.name}: {mistake}" for mistake in found]
    if mistakes:
        raise ConfigError(join_mistakes(mistakes))


def _file_mistakes(settings: RowSettings) -> list[str]:
    """Return what a row lacks; an unreadable network or an option out of its range raises."""
    if isinstance(settings, TrainedSettings):
        train_plugins(settings.config)
        check_inputs(settings.config, ("images",))
        return find_training_mistakes(settings.config)
    if isinstance(settings, FileSettings):
        load_network(settings.file)
    if isinstance(settings, PairSettings) and isinstance(settings.init, Path):
        load_network(settings.init)
    if isinstance(settings, MergerSettings) and settings.merger.kind != "runtime" and not settings.merger.signals:
        _try_merger(settings)
    return []


def _try_merger(settings: MergerSettings) -> None:
    """Merge two LoRAs of one small layer, which refuses options out of their range."""
    random = torch.Generator().manual_seed(0)
    factors = [torch.randn(4, 4, generator=random) for _ in range(4)]
    loras = [LoRA({"layer.to_q": LowRank(up, down, 1.0)}) for up, down in (factors[:2], factors[2:])]
    combine(
        loras,
        MergeRequest(
            merger=settings.merger.name,
            weights=settings.weights,
            svc=settings.svc,
            options=settings.options,
            device="cpu",
        ),
    )
