"""Cost of a plan: calls, images, tokens, price and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from lorarar.evaluation.judge.ask.backends.capabilities import read_server_settings
from lorarar.evaluation.judge.ask.planning import Plan
from lorarar.evaluation.judge.records import Answer, Reply

_TINY_TOKENS = 16  # of an image
_CHARACTERS = 4  # of a token of text
_MESSAGE_TOKENS = 8  # of a message beside its text
# Without thoughts.
_REPLY_TOKENS: Mapping[Answer, int] = {"yes_no": 2, "scale": 2, "json": 24, "pairwise": 2, "text": 24}


@dataclass(frozen=True)
class ReplyLength:
    """The expected tokens of a reply, thoughts included.

    Attributes:
        source: Where the number comes from, in a few words.
    """

    tokens: float
    source: str


def expect_reply(
    backend: str, answer: Answer, recorded: Mapping[str, Any] | None, replies: Iterable[Reply]
) -> ReplyLength:
    """Expect the length of a back end's replies: that of earlier ones, else the largest that is allowed to a model.

    Args:
        backend: Name of the back end.
        answer: Form of the answers.
        recorded: Name and identity of the judge that answered before, see
            `lorarar.evaluation.judge.ask.run_folder.read_backend`.
        replies: Its replies.
    """
    known = recorded is not None and recorded["name"] == backend
    lengths = [reply.usage["completion_tokens"] for reply in replies if known and "completion_tokens" in reply.usage]
    if lengths:
        return ReplyLength(sum(lengths) / len(lengths), f"the mean of {len(lengths)} replies")
    limit = recorded["identity"].get("capabilities", {}).get("max_tokens", 0) if recorded and known else 0
    if backend.startswith("openai:") and "?" in backend:
        limit = read_server_settings(backend.rpartition("@")[2])[1] or limit
    if limit:
        return ReplyLength(limit, "the most that the model may write, so calibrate and plan again to know the mean")
    thinks = "; for a model that thinks, calibrate and plan again" if backend.startswith("openai:") else ""
    return ReplyLength(_REPLY_TOKENS[answer], f"an answer without thoughts{thinks}")


@dataclass(frozen=True)
class CallEstimate:
    """The estimated cost of a plan. Tokens are rough, since each server counts in its own way.

    Attributes:
        calls: The largest number of calls; equal questions are asked once.
        images: The number of images in all calls.
        reply_tokens: Of all replies, thoughts included.
        cost: In the price's currency; None without a price.
    """

    calls: int
    images: int
    image_tokens: int
    text_tokens: int
    reply_tokens: int
    cost: float | None
    seconds: float

    def describe(self) -> str:
        """Describe the cost in one line."""
        price = "" if self.cost is None else f", cost {self.cost:.2f}"
        return (
            f"{self.calls} calls, {self.images} images shown, about {self.image_tokens} image, {self.text_tokens} "
            f"text and {self.reply_tokens} reply tokens{price}, {self.seconds / 60:.1f} minutes"
        )


def estimate(
    plan: Plan,
    *,
    backend: str,
    rate: float,
    reply: float = 2,
    price: float | None = None,
    reply_price: float | None = None,
) -> CallEstimate:
    """Estimate the cost of asking all questions of a plan.

    Args:
        backend: Decides the tokens of an image: "openai" counts tiles of 512 pixels, "transformers" patches of 28
            pixels; all others count as the tiny judge, which shrinks every image to 32 pixels.
        rate: The assumed calls per second.
        reply: Tokens of a reply.
        price: Of a million tokens.
        reply_price: Of a million tokens of replies; None is the same price.
    """
    questions = {question.id: question for question in plan.questions if question.id not in plan.refused}
    kind = backend.partition(":")[0]
    tokens = sum(_image_tokens(plan.sizes[path], kind) for q in questions.values() for path in q.images)
    text = sum(ceil(len(q.text) / _CHARACTERS) + _MESSAGE_TOKENS for q in questions.values())
    replies = round(len(questions) * reply)
    return CallEstimate(
        calls=len(questions),
        images=sum(len(q.images) for q in questions.values()),
        image_tokens=tokens,
        text_tokens=text,
        reply_tokens=replies,
        cost=None if price is None else ((tokens + text) * price + replies * (reply_price or price)) / 1e6,
        seconds=len(questions) / rate,
    )


def _image_tokens(size: tuple[int, int], kind: str) -> int:
    if kind == "openai":
        return 85 + 170 * ceil(size[0] / 512) * ceil(size[1] / 512)
    if kind == "transformers":
        return ceil(size[0] / 28) * ceil(size[1] / 28)
    return _TINY_TOKENS
