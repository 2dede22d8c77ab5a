"""lorarar.benchmark.analogies.judging: both questions to a server that compares images, and to one that says yes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lorarar.benchmark.analogies.judging import judge_answers
from lorarar.worlds.toy.analogies import draw_analogies, plan_analogies
from tests.evaluation.judge.ask.backends.server import Handler, answer, serving


@pytest.fixture
def shown() -> dict[tuple[str, str], Tensor]:
    """Two analogies with the truth, the copies, an answer that changes nothing, and no answer."""
    images = draw_analogies(plan_analogies("types", 2, 5))
    given, b = images[:, :3], images[:, 2]
    answers = {"truth": images[:, 3], "copy of b": b, "copy of a'": images[:, 1], "lazy": b, "model": 255 - b}
    rows = {("types", name): torch.cat([given, image[:, None]], 1) for name, image in answers.items()}
    return rows | {("types", "unable"): images[:0]}


def compare(handler: Handler) -> None:
    """Yes, but for a fourth image that equals the third (no change) or the second (nothing kept)."""
    *images, text = handler.request_body["messages"][0]["content"]
    same = images[2] if "does not matter" in text["text"].partition("show that change")[2] else images[1]
    answer("No" if len(images) == 4 and images[3] == same else "Yes")(handler)


def test_a_judge_that_is_right_about_the_truth_votes_on_all(
    shown: dict[tuple[str, str], Tensor], tmp_path: Path
) -> None:
    with serving(compare) as server:
        facts, votes = judge_answers(f"openai:fake-1@{server.url}", shown, tmp_path)
        asked = len(server.requests)
        again = judge_answers(f"openai:fake-1@{server.url}", shown, tmp_path)
    assert (facts["passed"], facts["judge"]["model"]) == (True, "fake-1")
    assert facts["right answers"]["kept"] == {"truth": 1, "copy of a'": 1}
    assert votes["types", "lazy"].tolist() == [[0, 1]] * 2
    assert votes["types", "model"].tolist() == [[1, 1]] * 2
    assert votes["types", "unable"].shape == (0, 2)
    content = max((request["messages"][0]["content"] for request in server.requests), key=len)
    assert [part["type"] for part in content] == ["image_url"] * 4 + ["text"]
    assert asked == 1 + 2 * 2 * 4  # a trial; both questions about two analogies with four different answers
    assert (len(server.requests), again[1].keys()) == (asked + 1, votes.keys())


def test_a_judge_that_always_says_yes_is_not_asked_on(shown: dict[tuple[str, str], Tensor], tmp_path: Path) -> None:
    with serving(answer("Yes")) as server:
        facts, votes = judge_answers(f"openai:fake-1@{server.url}", shown, tmp_path)
    assert facts["right answers"]["edited"] == {"truth": 1, "copy of b": 0}
    assert (facts["passed"], votes, len(server.requests)) == (False, {}, 1 + 2 * 2 * 3)


def test_silence_is_not_a_right_answer(shown: dict[tuple[str, str], Tensor], tmp_path: Path) -> None:
    with serving(answer("I cannot say")) as server:
        facts, _ = judge_answers(f"openai:fake-1@{server.url}", shown, tmp_path)
    assert facts["right answers"]["kept"] == {"truth": 0, "copy of a'": 0}
