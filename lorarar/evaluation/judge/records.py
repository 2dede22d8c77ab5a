"""What the judge's parts hand to each other. Plain data, JSON in and out.

Item -> Question -> Reply -> Verdict: an image of the manifest, one question about it and one reference, what the model
said, and what that means. A failure never becomes a score: only a verdict whose state is "ok" votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lorarar.datasets import Axis

State = Literal["ok", "abstain", "error", "invalid_input", "not_run"]
Answer = Literal["yes_no", "scale", "json", "pairwise"]


@dataclass(frozen=True)
class Question:
    """One call to the model.

    Attributes:
        id: SHA-256 of everything that the answer depends on, the back end's identity included: the key of the cache.
        item: the item's id, or a calibration case's id.
        images: absolute paths in the order in which they are shown.
        pixels: SHA-256 of each decoded image, same order.
        text: the prompt, without image markers: the images come before it.
        answer: how the reply is to be read.
        swapped: whether the test image is shown before the reference.
        repeat: 0, 1, .. when a question is asked several times on purpose.
        perturbation: what was changed that should not matter, see `lorarar.evaluation.judge.ask.perturbations`; "" for nothing.
    """

    id: str
    item: str
    axis: Axis
    reference: str
    rubric: str
    images: tuple[str, ...]
    pixels: tuple[str, ...]
    text: str
    answer: Answer = "yes_no"
    swapped: bool = False
    repeat: int = 0
    perturbation: str = ""


@dataclass(frozen=True)
class Reply:
    """What came back, raw.

    Attributes:
        text: the completion, "" when there was none.
        finish_reason: "stop", "length", "content_filter", ..; "" where the back end has none.
        top: for the first answer token, its most probable candidates: (token, natural log of its probability).
        complete: whether ``top`` covers the whole vocabulary, so that a missing token has no probability at all.
        failure: why there is no answer (the request failed, the input was refused); "" when there is one.
        invalid_input: whether the failure lies in the input (an unreadable image), so that asking again is useless.
        model: what the back end says answered.
        seconds: wall time of the call; usage: tokens as reported.
    """

    text: str = ""
    finish_reason: str = ""
    top: tuple[tuple[str, float], ...] = ()
    complete: bool = False
    failure: str = ""
    invalid_input: bool = False
    model: str = ""
    seconds: float = 0.0
    usage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a reply means.

    Attributes:
        value: 0 to 1 when the state is "ok", else None; yes is 1, a scale's 0-4 is divided by 4, pairwise 1 means that
            the first shown image was preferred.
        p_yes: (low, high) bounds of the probability of yes where token probabilities were there, else None.
        reason: why the state is not "ok", in a few words.
        details: parsed fields of JSON replies (leak and copy flags).
    """

    question: str
    state: State
    value: float | None = None
    p_yes: tuple[float, float] | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """Whatever answers questions."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that the answers depend on: name, model, revision, parameters. No secrets."""
        ...

    @property
    def concurrency(self) -> int:
        """How many threads may call ``ask`` at once."""
        ...

    @property
    def batch(self) -> int:
        """How many questions ``ask`` takes at once."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply for each question, in order; failures are replies, never exceptions."""
        ...
