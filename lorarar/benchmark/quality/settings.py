"""Settings of a row: one dataclass for each kind, read from the configuration and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, get_args, get_type_hints

from lorarar.benchmark.gate_settings import Fit
from lorarar.benchmark.quality.config import RowKind
from lorarar.mergers import DEFAULT, Merger, MergeRequest, find_merger
from lorarar.mergers.optimised import TEXT_GUIDED, PairMethod
from lorarar.storage import RENAMED_KEYS, find_mistakes, load_config, unknown_name
from lorarar.training import Recipe
from lorarar.workflows import TrainConfig

Stated: TypeAlias = Mapping[str, Any]  # settings as a configuration states them
D = TypeVar("D")
Form: TypeAlias = Literal["dense", "truncated", ""]
_MERGED = ("weights", "balance", "svc")
_PAIR_KEYS = ("predicted", "true_descriptions", "describe", "init", "balance")


@dataclass(frozen=True)
class ReferenceSettings:
    """A reference: the base model, or the content or the style LoRA of each pair alone. It has no settings."""

    competes: ClassVar[bool] = False
    source: Literal["base", "content", "style"]


@dataclass(frozen=True)
class TruthSettings:
    """A ceiling: coefficients that are fitted to true renders of each pair."""

    competes: ClassVar[bool] = False
    fit: Fit


@dataclass(frozen=True)
class JointSettings:
    """A reference: one LoRA for each pair, trained on the images of both concepts."""

    competes: ClassVar[bool] = False
    recipe: Recipe


@dataclass(frozen=True)
class MergerSettings:
    """A merger that learns nothing; it may look at what the base shows of each LoRA on its own prompt.

    Attributes:
        merger: Its row of `lorarar.mergers.MERGERS`.
        options: All of its options.
        weights: LoRA weights of content and style; None is 1 for both.
        form: For mergers of the kind "delta", whether their deltas stay "dense", or are "truncated" to the sum of the
            inputs' ranks, as files are by default; "" for mergers of another kind.
        balance: How far the LoRAs are brought to one length first, 0 to 1; None is the merger's own default.
        svc: Bound of a calibration of the merge's singular values; None for none.
    """

    competes: ClassVar[bool] = True
    merger: Merger
    options: Mapping[str, float | int]
    weights: tuple[float, ...] | None = None
    form: Form = ""
    balance: float | None = None
    svc: float | None = None


@dataclass(frozen=True)
class PairSettings:
    """Coefficients that are optimised for each pair.

    Attributes:
        method: How they are optimised.
        init: File of a trained merger whose coefficients the optimisation starts from, or "auto"; None starts from 1.
        true_descriptions: Whether the objective is that of "text_guided" with the true descriptions of the test pairs,
            which no user has. Such a row is a ceiling.
        describe: Back end that describes what each LoRA draws, for the objective of "text_guided"; "" describes none.
        balance: How far the LoRAs are brought to one length first, 0 to 1.
    """

    method: PairMethod
    init: Path | Literal["auto"] | None = None
    true_descriptions: bool = False
    describe: str = ""
    balance: float = 0.0

    @property
    def competes(self) -> bool:
        """Whether the row is a method, not a ceiling."""
        return not self.true_descriptions


@dataclass(frozen=True)
class TrainedSettings:
    """A merger that `lorarar train` makes.

    Attributes:
        source: The training configuration.
        config: The same as read, with the row's settings in place of its own.
        other_pair: Whether the merger gets the LoRAs of another pair: scores that stay show that it ignores the pair.
    """

    competes: ClassVar[bool] = True
    source: Path
    config: TrainConfig
    other_pair: bool = False


@dataclass(frozen=True)
class FileSettings:
    """A merger that was trained before, perhaps for another base."""

    competes: ClassVar[bool] = True
    file: Path


RowSettings: TypeAlias = (
    ReferenceSettings | TruthSettings | JointSettings | MergerSettings | PairSettings | TrainedSettings | FileSettings
)
_SOURCES: Mapping[RowKind, str] = {
    "merger": "a row of `lorarar mergers` that needs nothing learned",
    "pair": "a row of `lorarar mergers` that is optimised for each pair",
    "trained": "a configuration of `lorarar train`",
    "file": "a trained merger's file",
}


def read_settings(kind: RowKind, source: str, stated: Stated) -> RowSettings:
    """Read the settings of a row.

    Args:
        kind: The kind of the row.
        source: Which method, for kinds that have a choice.
        stated: The settings as the configuration states them.

    Raises:
        ValueError: A key is unknown or missing, or the source does not suit the kind.
    """
    if kind in _SOURCES and not source:
        raise ValueError(f"expected a source, {_SOURCES[kind]}, found none")
    if source and kind not in _SOURCES:
        raise ValueError(f"expected no source for a row of kind {kind!r}, found {source!r}: drop it")
    return _READERS[kind](source, stated)


def _read_reference(shown: Literal["base", "content", "style"], source: str, stated: Stated) -> ReferenceSettings:
    _refuse_unknown(stated, (), "no setting for a reference")
    return ReferenceSettings(shown)


def _read_truth(source: str, stated: Stated) -> TruthSettings:
    return TruthSettings(_filled(Fit, stated))


def _read_joint(source: str, stated: Stated) -> JointSettings:
    return JointSettings(_filled(Recipe, stated))


def _read_merger(source: str, stated: Stated) -> MergerSettings:
    merger = find_merger(source)
    if merger.learned or merger.pair:
        raise ValueError(f"expected {_SOURCES['merger']}, found {source!r}, which needs {merger.needs}")
    own = {"coefficients": _MERGED, "delta": (*_MERGED, "form"), "runtime": ("weights",)}[merger.kind]
    _refuse_unknown(stated, (*merger.options, *own), f"a setting of {source}")
    weights = stated.get("weights")
    options = merger.settings({key: value for key, value in stated.items() if key not in own})
    form: Form = stated.get("form", "dense") if merger.kind == "delta" else ""
    if form not in get_args(Form):
        raise ValueError(f"expected the form dense or truncated, found {form!r}: give one of them")
    if weights is not None and not _is_pair(weights):
        raise ValueError(f"expected two weights, of the content and of the style, found {weights!r}: give [1.0, 0.8]")
    balance, svc = stated.get("balance"), stated.get("svc")
    MergeRequest(source, balance=balance, svc=svc).check()
    return MergerSettings(merger, options, None if weights is None else tuple(weights), form, balance, svc)


def _read_pair(source: str, stated: Stated) -> PairSettings:
    merger = find_merger(source)
    if merger.pair is None:
        raise ValueError(f"expected {_SOURCES['pair']}, found {source!r}")
    for key in stated:
        _refuse_old_name(key, RENAMED_KEYS["PairSettings"])
    _refuse_unknown(stated, (*merger.options, *_PAIR_KEYS), f"a setting of {source}")
    method = merger.pair.configured(
        merger.settings({key: value for key, value in stated.items() if key not in _PAIR_KEYS})
    )
    if stated.get("predicted"):
        method = replace(method, predicted=tuple(stated["predicted"]))
    described, describe = bool(stated.get("true_descriptions", False)), str(stated.get("describe", ""))
    if described and describe:
        raise ValueError("expected true_descriptions or describe, found both: drop one of them")
    if described or describe:
        method = replace(method, weights=TEXT_GUIDED.weights)
    init, balance = stated.get("init"), float(stated.get("balance", 0.0))
    MergeRequest(source, balance=balance).check()
    start = init if init is None or init == DEFAULT else _existing(init)
    return PairSettings(method, start, described, describe, balance)


def _read_trained(source: str, stated: Stated) -> TrainedSettings:
    overrides = {key: value for key, value in stated.items() if key != "other_pair"}
    for key in overrides:
        _refuse_old_name(key, RENAMED_KEYS[TrainConfig.__name__])
        _check_training_key(key)
    texts = [f"{key}={_override_text(value)}" for key, value in overrides.items()]
    config = load_config(TrainConfig, Path(source), [*texts, "wandb=disabled"])
    return TrainedSettings(Path(source), config, bool(stated.get("other_pair", False)))


def _read_file(source: str, stated: Stated) -> FileSettings:
    _refuse_unknown(stated, (), "no setting for a file")
    return FileSettings(_existing(source))


_READERS: Mapping[RowKind, Callable[[str, Stated], RowSettings]] = {
    "base": partial(_read_reference, "base"),
    "content": partial(_read_reference, "content"),
    "style": partial(_read_reference, "style"),
    "truth": _read_truth,
    "joint": _read_joint,
    "merger": _read_merger,
    "pair": _read_pair,
    "trained": _read_trained,
    "file": _read_file,
}


def _is_pair(weights: object) -> bool:
    numbers = weights if isinstance(weights, list | tuple) else ()
    return len(numbers) == 2 and all(isinstance(w, int | float) and not isinstance(w, bool) for w in numbers)


def _existing(path: str) -> Path:
    if not Path(path).is_file():
        raise ValueError(f"expected a trained merger's file at {path}, found none: check the path")
    return Path(path)


def _refuse_unknown(stated: Stated, names: Collection[str], kind: str) -> None:
    for key in stated:
        if key not in names:
            raise ValueError(unknown_name(kind, key, names))


def _refuse_old_name(key: str, renamed: Mapping[str, str]) -> None:
    """Refuse a dotted key that has an old name in it; the longest match counts."""
    for old in sorted(renamed, key=len, reverse=True):
        if key == old or key.startswith(f"{old}."):
            raise ValueError(f"expected {renamed[old]}{key.removeprefix(old)}, found its old name {key}: rename it")


def _filled(kind: type[D], stated: Stated) -> D:
    """Return a dataclass with the stated values; lists become tuples."""
    if mistakes := find_mistakes(kind, stated):
        raise ValueError("; ".join(mistakes))
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in stated.items()})


def _check_training_key(key: str) -> None:
    """Refuse a dotted key that leads to no field of the training configuration."""
    config: Any = TrainConfig
    path = ""
    for part in key.split("."):
        if not is_dataclass(config):
            return  # free options, which the merger checks
        hints = get_type_hints(config)
        names = [f"{path}{name}" for name in hints] + ([] if path else ["other_pair"])
        if f"{path}{part}" not in names:
            raise ValueError(unknown_name("a key of the training configuration", f"{path}{part}", names))
        config, path = hints[part], f"{path}{part}."


def _override_text(value: object) -> str:
    """Return a value as the text after ``key=`` of a configuration's overrides."""
    return json.dumps(value) if isinstance(value, (list, dict, bool)) or value is None else str(value)
