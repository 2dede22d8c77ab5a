"""lorarar.evaluation.judge.ask.cost: tokens, price and time of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.cost import estimate
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.worlds.toy.judge.model import IMAGE_TOKENS
from tests.evaluation.judge.ask.test_planning import plan
from tests.evaluation.judge.sample import planned_run


def test_estimates(tmp_path: Path) -> None:
    setup = read_setup(planned_run(tmp_path))
    planned = plan(setup)
    cost = estimate(planned, backend="openai:gpt@https://x", rate=2.0, price=10.0)
    text = sum(-(-len(q.text) // 4) + 8 for q in planned.questions)
    assert (cost.calls, cost.images, cost.image_tokens, cost.text_tokens) == (64, 128, 128 * 255, text)
    assert cost.cost == pytest.approx((128 * 255 + text) * 10 / 1e6)
    assert cost.seconds == 32
    assert estimate(planned, backend="transformers:x", rate=2.0).image_tokens == 128
    assert estimate(planned, backend="tiny", rate=2.0).image_tokens == 128 * IMAGE_TOKENS
    assert "64 calls, 128 images shown" in cost.describe()
    (setup.images / setup.items[0].path).write_bytes(b"")
    assert estimate(plan(setup), backend="tiny", rate=2.0).calls == 60
