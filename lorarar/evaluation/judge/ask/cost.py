"""Cost of a plan: calls, images, tokens, price and time."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from lorarar.evaluation.judge.ask.planning import Plan

_TINY_TOKENS = 16  # of an image
_CHARACTERS = 4  # of a token of text
_MESSAGE_TOKENS = 8  # of a message beside its text


@dataclass(frozen=True)
class CallEstimate:
    """The estimated cost of a plan. Tokens are rough, since each server counts in its own way.

    Attributes:
        calls: The largest number of calls; equal questions are asked once.
        images: The number of images in all calls.
        cost: In the price's currency; None without a price.
    """

    calls: int
    images: int
    image_tokens: int
    text_tokens: int
    cost: float | None
    seconds: float

    def describe(self) -> str:
        """Describe the cost in one line."""
        price = "" if self.cost is None else f", cost {self.cost:.2f}"
        return (
            f"{self.calls} calls, {self.images} images shown, about {self.image_tokens} image and {self.text_tokens} "
            f"text tokens{price}, {self.seconds / 60:.1f} minutes"
        )


def estimate(plan: Plan, *, backend: str, rate: float, price: float | None = None) -> CallEstimate:
    """Estimate the cost of asking all questions of a plan.

    Args:
        backend: Decides the tokens of an image: "openai" counts tiles of 512 pixels, "transformers" patches of 28
            pixels; all others count as the tiny judge, which shrinks every image to 32 pixels.
        rate: The assumed calls per second.
        price: Of a million tokens.
    """
    questions = {question.id: question for question in plan.questions if question.id not in plan.refused}
    kind = backend.partition(":")[0]
    tokens = sum(_image_tokens(plan.sizes[path], kind) for q in questions.values() for path in q.images)
    text = sum(ceil(len(q.text) / _CHARACTERS) + _MESSAGE_TOKENS for q in questions.values())
    return CallEstimate(
        calls=len(questions),
        images=sum(len(q.images) for q in questions.values()),
        image_tokens=tokens,
        text_tokens=text,
        cost=None if price is None else (tokens + text) * price / 1e6,
        seconds=len(questions) / rate,
    )


def _image_tokens(size: tuple[int, int], kind: str) -> int:
    if kind == "openai":
        return 85 + 170 * ceil(size[0] / 512) * ceil(size[1] / 512)
    if kind == "transformers":
        return ceil(size[0] / 28) * ceil(size[1] / 28)
    return _TINY_TOKENS
