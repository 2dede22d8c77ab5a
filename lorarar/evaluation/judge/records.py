"""Records of the judge: questions, replies and verdicts, as plain data that is stored as JSON.

Item -> Question -> Reply -> Verdict: an image of the manifest, a question about it and one reference, the model's raw
answer, and its meaning. A failure never becomes a score: only a verdict with the state "ok" votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lorarar.datasets import Axis

State = Literal["ok", "abstain", "error", "invalid_input", "not_run"]
Answer = Literal["yes_no", "scale", "json", "pairwise", "text"]


@dataclass(frozen=True)
class Question:
    """One call to the model.

    Attributes:
        id: SHA-256 of everything that the answer depends on, including the back end's identity; the key of the cache.
        item: The item's id, or a calibration case's id.
        images: Absolute paths in the order in which the model receives them.
        pixels: SHA-256 of each decoded image, same order.
        text: The prompt without image markers; the images come before it.
        answer: The form of the answer.
        swapped: Whether the test image comes before the reference.
        repeat: 0, 1, .. where a question is asked several times on purpose.
        perturbation: A change that should not change the answer, "" for none; see
            `lorarar.evaluation.judge.ask.perturbations`.
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


@dataclass(frozen=True, slots=True)  # a run holds millions
class Reply:
    """The raw answer of a back end.

    Attributes:
        text: The completion, "" without one.
        finish_reason: "stop", "length", "content_filter", ..; "" where the back end gives none.
        top: The most probable candidates for the first answer token: (token, natural log of its probability).
        complete: Whether the answer tokens missing from ``top`` have no probability.
        failure: The reason why there is no answer (a failed request, a refused input); "" with an answer.
        invalid_input: Whether the input caused the failure (an unreadable image), so that another attempt is useless.
        model: The model that answered, as the back end reports it.
        seconds: Wall time of the call.
        usage: Numbers of tokens as reported.
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
    """The meaning of a reply.

    Attributes:
        value: 0 to 1 when the state is "ok", else None. Yes is 1; a scale's 0-4 is divided by 4; a pairwise 1 prefers
            the image that was shown first.
        p_yes: (low, high) bounds of the probability of yes; None without token probabilities.
        reason: The reason why the state is not "ok", in a few words.
        details: Parsed fields of JSON replies (leak and copy flags).
    """

    question: str
    state: State
    value: float | None = None
    p_yes: tuple[float, float] | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """A source of answers."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that the answers depend on (name, model, revision, parameters), without secrets."""
        ...

    @property
    def concurrency(self) -> int:
        """The number of threads that may call ``ask`` at once."""
        ...

    @property
    def batch(self) -> int:
        """The number of questions in one call of ``ask``."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Return one reply for each question, in order; failures are replies, never exceptions."""
        ...
