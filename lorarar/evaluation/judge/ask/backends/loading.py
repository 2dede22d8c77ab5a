"""Loading of back ends by name; each is imported only when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from lorarar.evaluation.judge.ask.backends.mocks import NoisyMock, RightAnswers, TruthMock, open_replay
from lorarar.evaluation.judge.records import Answer, Backend
from lorarar.storage import EMBEDDED_JUDGE

BACKEND_FORMS = (
    "tiny, transformers:MODEL, openai:MODEL@URL, mock:truth, mock:replay:RUN, "
    "mock:noisy?sensitivity=0.9&specificity=0.8&position_bias=0&seed=0"
)
_NOISE = {"sensitivity": float, "specificity": float, "position_bias": float, "seed": int}


def open_backend(
    name: str,
    *,
    labels: RightAnswers | None = None,
    answer: Answer = "yes_no",
    concurrency: int | None = None,
    recorded: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Backend:
    """Open a back end.

    Args:
        name: One of `BACKEND_FORMS`.
        labels: The right answers, for the mocks.
        answer: The form of the rubric's answers, which the back end must support.
        concurrency: The number of simultaneous calls to an "openai" server; None is the default.
        recorded: The identity of an "openai" server in an earlier start of the same run, whose capabilities are reused.
        device: Of a "transformers" model.

    Raises:
        ValueError: The back end does not exist, or it lacks something that it needs.
        ConnectionError: The server does not answer.
    """
    kind, _, rest = name.partition(":")
    if kind == "mock":
        return _open_mock(name, rest, labels or {})
    if kind == "openai" and "@" in rest:
        from lorarar.evaluation.judge.ask.backends.openai import open_openai

        model, _, url = rest.rpartition("@")
        return open_openai(model, url, answer=answer, concurrency=concurrency, recorded=recorded)
    if kind in ("tiny", "transformers") and (kind == "tiny" or rest):
        from lorarar.evaluation.judge.ask.backends.transformers import open_transformers

        return open_transformers(str(EMBEDDED_JUDGE) if kind == "tiny" else rest, answer=answer, device=device)
    raise ValueError(f"expected a back end of the form {BACKEND_FORMS}, found {name!r}")


def _open_mock(name: str, rest: str, labels: RightAnswers) -> Backend:
    kind, _, settings = rest.partition("?")
    if kind == "truth" and not settings:
        return TruthMock(labels)
    if kind == "noisy":
        return NoisyMock(labels, **_read_noise(name, settings))
    if kind.startswith("replay:"):
        return open_replay(Path(kind.removeprefix("replay:")))
    raise ValueError(f"expected a back end of the form {BACKEND_FORMS}, found {name!r}")


def _read_noise(name: str, settings: str) -> dict[str, Any]:
    try:
        return {key: _NOISE[key](value) for key, value in parse_qsl(settings, strict_parsing=bool(settings))}
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name}: expected settings of {sorted(_NOISE)}, each =NUMBER and joined by &") from error
