"""Capabilities of a server: tried once, before any question, and recorded with the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lorarar.evaluation.judge.records import Answer

_REFUSED = (400, 422)  # HTTP statuses for an unknown parameter


@dataclass(frozen=True)
class Capabilities:
    """The parameters that a server accepts.

    Attributes:
        logprobs: The number of candidates of a token with probabilities; 0 for none.
        structured: Whether the server follows a JSON schema.
        limit: The name of the parameter for the length of an answer.
        temperature: Whether the temperature may be set; it is then 0.
    """

    logprobs: int = 20
    structured: bool = False
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True


@dataclass(frozen=True)
class ServerTrial:
    """The response of a server to one trial request.

    Attributes:
        status: The HTTP status; 0 without a readable response.
        message: The error, "" for success.
        model: The model that answered, as the server reports it.
        logprobs: Whether the response had token probabilities.
    """

    status: int
    message: str = ""
    model: str = ""
    logprobs: bool = False


def find_capabilities(attempt: Callable[[Capabilities], ServerTrial], answer: Answer) -> tuple[Capabilities, str]:
    """Try requests with ever fewer parameters until the server accepts one.

    Args:
        attempt: Sends one small request.
        answer: The form of the answers, which decides the first request's parameters.

    Returns:
        The capabilities, and the model's name as the server reports it.

    Raises:
        ConnectionError: The server does not answer.
        ValueError: The server refuses all requests.
    """
    request: Capabilities | None = Capabilities(
        logprobs=20 if answer in ("yes_no", "pairwise") else 0, structured=answer == "json"
    )
    trial = ServerTrial(0)
    while request is not None:
        trial = attempt(request)
        if not trial.message:
            return replace(request, logprobs=request.logprobs if trial.logprobs else 0), trial.model
        if trial.status not in _REFUSED:
            break
        request = _reduce(request, trial.message.lower())
    if trial.status in (0, 408, 429) or trial.status >= 500:
        raise ConnectionError(
            f"expected an OpenAI-compatible server, it does not answer: {trial.message}: check the URL"
        )
    raise ValueError(f"expected an OpenAI-compatible server, it refuses requests with images: {trial.message}")


def _reduce(request: Capabilities, complaint: str) -> Capabilities | None:
    """Drop the parameter that the complaint names, or the first optional one; None where there is none left."""
    options = list(_options(request))
    for words, reduced in options:
        if any(word in complaint for word in words):
            return reduced
    return options[0][1] if options else None


def _options(request: Capabilities) -> Iterator[tuple[tuple[str, ...], Capabilities]]:
    """Yield the words by which a complaint names a parameter, and the request without that parameter."""
    if request.limit == "max_tokens":
        yield ("max_completion_tokens",), replace(request, limit="max_completion_tokens")
    if request.structured:
        yield ("response_format", "json_schema", "structured"), replace(request, structured=False)
    if request.logprobs > 5:
        yield ("top_logprobs",), replace(request, logprobs=5)
    if request.logprobs:
        yield ("logprob",), replace(request, logprobs=0)
    if request.temperature:
        yield ("temperature",), replace(request, temperature=False)
