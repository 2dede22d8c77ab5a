"""Loading of back ends by name; each is imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock, RightAnswers, TruthMock, open_replay
from lorarar.evaluation.judge.records import Answer, Backend, Question, Reply
from lorarar.storage import EMBEDDED_JUDGE, Table, quiet_libraries

_NOISE = {"sensitivity": float, "specificity": float, "position_bias": float, "seed": int}


@dataclass(frozen=True)
class BackendSettings:
    """What a back end is opened with, besides its name.

    Attributes:
        labels: The right answers, for the mocks.
        answer: The form of the rubric's answers, which the back end must support.
        concurrency: The number of simultaneous calls to an "openai" server; None is the default.
        recorded: The identity of an "openai" server in an earlier start of the same run, whose capabilities are reused.
        device: Of a model in this process, a name for `lorarar.lora.pick_device`.
    """

    labels: RightAnswers = field(default_factory=dict)
    answer: Answer = "yes_no"
    concurrency: int | None = None
    recorded: Mapping[str, Any] | None = None
    device: str = "auto"


@dataclass(frozen=True)
class BackendKind:
    """A sort of back end.

    Attributes:
        name: The part of a back end's name before the first colon.
        form: The whole name, with placeholders: "openai:MODEL@URL".
        open: Function of the part after the colon, and the settings -> the back end; raises a ValueError for a part
            that it cannot use.
    """

    name: str
    form: str
    open: Callable[[str, BackendSettings], Backend]


def _open_tiny(rest: str, settings: BackendSettings) -> Backend:
    return _open_transformers(str(EMBEDDED_JUDGE), settings)


def _open_transformers(rest: str, settings: BackendSettings) -> Backend:
    if not rest:
        raise _wrong_form("transformers:")
    quiet_libraries()
    from lorarar.evaluation.judge.ask.backends.transformers import open_transformers

    return open_transformers(rest, answer=settings.answer, device=settings.device)


def _open_openai(rest: str, settings: BackendSettings) -> Backend:
    model, at, url = rest.rpartition("@")
    if not at:
        raise _wrong_form(f"openai:{rest}")
    from lorarar.evaluation.judge.ask.backends.openai import open_openai

    return open_openai(model, url, answer=settings.answer, concurrency=settings.concurrency, recorded=settings.recorded)


def _open_mock(rest: str, settings: BackendSettings) -> Backend:
    kind, _, noise = rest.partition("?")
    if kind == "truth" and not noise:
        return TruthMock(settings.labels)
    if kind == "noisy":
        return NoisyMock(settings.labels, **_read_noise(f"mock:{rest}", noise))
    if kind.startswith("replay:"):
        return open_replay(Path(kind.removeprefix("replay:")))
    raise _wrong_form(f"mock:{rest}")


_MOCKS = "mock:truth, mock:replay:RUN, mock:noisy?sensitivity=0.9&specificity=0.8&position_bias=0&seed=0"

# Each back end is imported only when it is opened.
BACKENDS: Table[BackendKind] = Table(
    "BACKENDS",
    BackendKind,
    "a back end",
    [
        BackendKind("tiny", "tiny", _open_tiny),
        BackendKind("transformers", "transformers:MODEL", _open_transformers),
        BackendKind("openai", "openai:MODEL@URL", _open_openai),
        BackendKind("mock", _MOCKS, _open_mock),
    ],
)


def open_backend(name: str, settings: BackendSettings = BackendSettings()) -> Backend:
    """Open a back end.

    Args:
        name: Its name in one of the forms of `BACKENDS`, such as "tiny" or "openai:MODEL@URL".
        settings: What it is opened with.

    Raises:
        ValueError: The back end does not exist, or it lacks something that it needs.
        ConnectionError: The server does not answer.
    """
    kind, _, rest = name.partition(":")
    if kind not in BACKENDS:
        raise _wrong_form(name)
    backend, plugins = BACKENDS[kind].open(rest, settings), BACKENDS.plugins([kind])
    return _FromPlugin(backend, plugins) if plugins else backend


@dataclass(frozen=True)
class _FromPlugin:
    """A plugin's back end, whose identity names the plugin: a changed plugin is another judge."""

    backend: Backend
    plugins: Mapping[str, str]

    @property
    def identity(self) -> Mapping[str, Any]:
        return {**self.backend.identity, "plugins": dict(self.plugins)}

    @property
    def concurrency(self) -> int:
        return self.backend.concurrency

    @property
    def batch(self) -> int:
        return self.backend.batch

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        return self.backend.ask(questions)


def _wrong_form(name: str) -> ValueError:
    forms = ", ".join(kind.form for kind in BACKENDS.values())
    return ValueError(f"expected a back end of the form {forms}, found {name!r}")


def _read_noise(name: str, settings: str) -> dict[str, Any]:
    try:
        return {key: _NOISE[key](value) for key, value in parse_qsl(settings, strict_parsing=bool(settings))}
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name}: expected settings of {sorted(_NOISE)}, each =NUMBER and joined by &") from error
