"""What `lorarar benchmark quality` compares: methods as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lorarar.storage import ConfigError, Device

Kind = Literal["base", "content", "style", "truth", "joint", "merger", "pair", "trained", "file"]
SOURCES: dict[Kind, str] = {
    "merger": "a row of `lorarar mergers` that needs nothing learned",
    "pair": "a row of `lorarar mergers` that is optimised for each pair",
    "trained": "a configuration of `lorarar train`",
    "file": "a trained merger's file",
}


@dataclass(frozen=True)
class MethodConfig:
    """A row of the table.

    Attributes:
        kind: "merger", "pair", "trained" or "file": a method, of which ``source`` says which (`SOURCES`). The others
            are not methods: the "base", the "content" or the "style" LoRA alone, "joint": one LoRA trained on both
            concepts, "truth": coefficients fitted to true renders, a ceiling.
        settings: the method's own. "merger": its options, and ``weights``; "pair": its options, ``predicted``, ``told``
            and ``start``; "trained": the configuration's keys, with dots, and ``other_pair``; "joint" and "truth":
            their recipe's.
        tried: settings that are tried on validation pairs, each over ``settings``; the best joint score decides. Every
            tuned row has as many: the budget.
        training_seeds: "trained": a merger for each; the scores of all are kept.
    """

    name: str
    kind: Kind
    source: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)
    training_seeds: tuple[int, ...] = (0,)

    @property
    def competes(self) -> bool:
        """Whether it is a method, not a reference or a ceiling."""
        return self.kind in SOURCES and not self.settings.get("true_descriptions")


@dataclass(frozen=True)
class QualityConfig:
    """``lorarar benchmark quality``.

    Attributes:
        output: folder for results.json, times.json, table.md and the pictures.
        runs: folder for images, cells and trainings; what is there is not made again.
        base, manifests, images, splits, split, loras: as in ``lorarar train``.
        pairs: the split whose pairs are compared, and tuned_on: the one whose pairs serve the choice of settings.
        tuned_every: of those every n-th pair is used, along the diagonals, so that each concept occurs equally often.
        seeds: noise seeds of each pair's images, and tuned_seeds: of those that serve the choice.
        budget: validation runs of each tuned row.
        compared: two rows each, to be told apart beside the comparisons with the best.
        reader: the toy world's attribute reader, or none; judge: a judge by name, or none.
        group: pairs at once.
        trainings: folder for trained mergers, which several comparisons may share.
    """

    output: Path
    runs: Path
    base: str
    manifests: tuple[Path, ...]
    images: Path
    splits: Path
    split: str
    loras: Path
    methods: list[MethodConfig]
    pairs: str = "test"
    tuned_on: str = "validation"
    tuned_every: int = 1
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    tuned_seeds: tuple[int, ...] = (0,)
    budget: int = 0
    compared: list[list[str]] = field(default_factory=list)
    classifier: Path | None = None
    judge: str | None = None
    steps: int = 15
    guidance: float = 2.5
    group: int = 16
    trainings: Path = Path("runs/trained")
    device: Device = "cpu"


def check(config: QualityConfig) -> None:
    """Raise ConfigError for rows that clash, cannot be told apart or cannot be tuned."""
    names = [row.name for row in config.methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if config.classifier is None and config.judge is None:
        raise ConfigError(
            "expected a classifier or a judge, found neither: nothing would tell good images from bad ones"
        )
    if not names or twice:
        raise ConfigError(f"expected methods with names of their own, found {twice or 'none'}")
    unknown = sorted({name for pair in config.compared for name in pair} - set(names))
    if unknown:
        raise ConfigError(f"expected `compared` to name methods of the table, found {unknown}")
    for row in config.methods:
        if row.competes and not row.source:
            raise ConfigError(f"{row.name}: expected a source, {SOURCES[row.kind]}, found none")
        if row.tried and len(row.tried) != config.budget:
            raise ConfigError(
                f"{row.name}: expected {config.budget} settings to try, as many as for every other tuned row (budget), "
                f"found {len(row.tried)}"
            )
        if row.kind == "truth" or row.tried:
            _check_reader(config, row)


def _check_reader(config: QualityConfig, row: MethodConfig) -> None:
    if config.classifier is None:
        raise ConfigError(
            f"{row.name}: expected a classifier, which tells right images from wrong ones while settings are chosen, found "
            "none: choose the settings yourself, in `settings`, and drop `tried`"
        )
