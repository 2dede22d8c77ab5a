"""Capabilities of a server: tried once, before any question, and recorded with the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from lorarar.evaluation.judge.records import Answer

_REFUSED = (400, 422)  # HTTP statuses for an unknown parameter
_KEY_REFUSED = (401, 403)
# Largest numbers of tokens that are tried in turn, where a model spends many tokens on thoughts before it answers.
_LONGER = (4096, 16384)


@dataclass(frozen=True)
class Capabilities:
    """The parameters that a server accepts.

    Attributes:
        logprobs: The number of candidates of a token with probabilities; 0 for none.
        structured: Whether the server follows a JSON schema.
        limit: The name of the parameter for the length of an answer.
        temperature: Whether the temperature may be set; it is then 0.
        max_tokens: The largest number of tokens of a reply, thoughts included; 0 is the default of the answer's form.
        effort: The reasoning effort that the server is asked for, such as "low"; "" leaves it to the server.
    """

    logprobs: int = 20
    structured: bool = False
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    max_tokens: int = 0
    effort: str = ""


@dataclass(frozen=True)
class ServerTrial:
    """The response of a server to one trial request.

    Attributes:
        status: The HTTP status; 0 without a readable response.
        message: The error, "" for success.
        model: The model that answered, as the server reports it.
        logprobs: Whether the response had token probabilities.
        cut: Whether the reply ended at the largest number of tokens.
    """

    status: int
    message: str = ""
    model: str = ""
    logprobs: bool = False
    cut: bool = False


def find_capabilities(
    attempt: Callable[[Capabilities], ServerTrial],
    answer: Answer,
    *,
    url: str,
    max_tokens: int = 0,
    effort: str = "",
) -> tuple[Capabilities, str]:
    """Try requests with ever fewer parameters, and then more tokens, until the server answers one.

    Args:
        attempt: Sends one small request.
        answer: The form of the answers, which decides the first request's parameters.
        url: Address of the server, for messages.
        max_tokens: The largest number of tokens of a reply; 0 finds one that suffices.
        effort: The reasoning effort to ask for; "" leaves it to the server.

    Returns:
        The capabilities, and the model's name as the server reports it.

    Raises:
        ConnectionError: The server does not answer.
        ValueError: The server refuses the key or all requests, or cuts off its replies.
    """
    request: Capabilities | None = Capabilities(
        logprobs=20 if answer in ("yes_no", "pairwise") else 0,
        structured=answer == "json",
        max_tokens=max_tokens,
        effort=effort,
    )
    trial = ServerTrial(0)
    while request is not None:
        trial = attempt(request)
        if not trial.message and not trial.cut:
            return replace(request, logprobs=request.logprobs if trial.logprobs else 0), trial.model
        if trial.cut:
            request = _lengthen(request, given=max_tokens > 0)
            continue
        if trial.status not in _REFUSED:
            break
        request = _reduce(request, trial.message.lower())
    if trial.status in _KEY_REFUSED:
        raise ValueError(
            f"expected a server that accepts the key, found {trial.message}: set LORARAR_API_KEY to a key of "
            "this server"
        )
    if trial.status in (0, 408, 429) or trial.status >= 500:
        raise ConnectionError(
            f"expected an OpenAI-compatible server at {url}, found none that answers ({trial.message}): start the "
            "server, or check the URL"
        )
    raise ValueError(
        f"expected an OpenAI-compatible server at {url}, it refuses requests with two images ({trial.message}): choose "
        "a model that takes images, and let the server take two in a request"
    )


def _lengthen(request: Capabilities, *, given: bool) -> Capabilities:
    """Return the request with more tokens for a reply.

    Raises:
        ValueError: The number of tokens is the user's or the largest one.
    """
    longer = [tokens for tokens in _LONGER if tokens > request.max_tokens]
    if given or not longer:
        raise ValueError(
            f"expected a reply to a short question within {request.max_tokens} tokens, found one that is cut off there"
            ": the model may think at length; add ?max_tokens=NUMBER or ?effort=low to the server's URL"
        )
    return replace(request, max_tokens=longer[0])


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
    # A server whose models do not think refuses an effort: that is the user's mistake, so it is not dropped.


def read_server_settings(url: str) -> tuple[str, int, str]:
    """Return a URL without its query, and the settings max_tokens (0 for none) and effort ("" for none) of the query.

    Raises:
        ValueError: The query holds anything else.
    """
    parts = urlsplit(url)
    try:
        settings = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        tokens, effort = int(settings.pop("max_tokens", 0)), settings.pop("effort", "")
    except ValueError as error:
        raise ValueError(f"expected settings such as ?max_tokens=8192&effort=low, found ?{parts.query}") from error
    if settings or tokens < 0:
        raise ValueError(f"expected the settings max_tokens and effort after the URL, found ?{parts.query}")
    return urlunsplit(parts._replace(query="")), tokens, effort
