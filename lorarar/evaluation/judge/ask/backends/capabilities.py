"""What a server can do: tried once, before anything is asked, and recorded with the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lorarar.evaluation.judge.records import Answer

_REFUSED = (400, 422)  # HTTP statuses of servers that know a parameter not


@dataclass(frozen=True)
class Capabilities:
    """What requests may hold.

    Attributes:
        logprobs: how many candidates of a token can be had; 0 is none.
        structured: whether a JSON schema is followed.
        limit: the name of the parameter for the length of an answer.
        temperature: whether it may be set, which is to 0.
    """

    logprobs: int = 20
    structured: bool = False
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True


@dataclass(frozen=True)
class ServerTrial:
    """How a server took one request.

    Attributes:
        status: of HTTP; 0 when there was no response, or none that could be read.
        message: what was wrong, "" when nothing was.
        model: what the server says answered; logprobs: whether there were token probabilities.
    """

    status: int
    message: str = ""
    model: str = ""
    logprobs: bool = False


def find_capabilities(attempt: Callable[[Capabilities], ServerTrial], answer: Answer) -> tuple[Capabilities, str]:
    """Asks for everything, then for less, until a server agrees.

    Returns:
        What it can do, and the model's name as the server gives it.

    Raises:
        ConnectionError: it does not answer.
        ValueError: it refuses all requests.
    """
    wanted: Capabilities | None = Capabilities(
        logprobs=20 if answer in ("yes_no", "pairwise") else 0, structured=answer == "json"
    )
    trial = ServerTrial(0)
    while wanted is not None:
        trial = attempt(wanted)
        if not trial.message:
            return replace(wanted, logprobs=wanted.logprobs if trial.logprobs else 0), trial.model
        if trial.status not in _REFUSED:
            break
        wanted = _less(wanted, trial.message.lower())
    if trial.status in (0, 408, 429) or trial.status >= 500:
        raise ConnectionError(f"expected an OpenAI-compatible server, it does not answer: {trial.message}")
    raise ValueError(f"expected an OpenAI-compatible server, it refuses requests with images: {trial.message}")


def _less(wanted: Capabilities, complaint: str) -> Capabilities | None:
    """The same without what a server complains of; without anything else where it does not say; None for nothing."""
    options = list(_options(wanted))
    named = [less for words, less in options if any(word in complaint for word in words)]
    return next(iter(named or [less for _, less in options]), None)


def _options(wanted: Capabilities) -> Iterator[tuple[tuple[str, ...], Capabilities]]:
    if wanted.limit == "max_tokens":
        yield ("max_completion_tokens",), replace(wanted, limit="max_completion_tokens")
    if wanted.structured:
        yield ("response_format", "json_schema", "structured"), replace(wanted, structured=False)
    if wanted.logprobs > 5:
        yield ("top_logprobs",), replace(wanted, logprobs=5)
    if wanted.logprobs:
        yield ("logprob",), replace(wanted, logprobs=0)
    if wanted.temperature:
        yield ("temperature",), replace(wanted, temperature=False)
