"""lorarar.evaluation.judge.ask.cost: tokens, price and time of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.cost import estimate, expect_reply
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.records import Reply
from lorarar.worlds.toy.judge.model import IMAGE_TOKENS
from tests.evaluation.judge.ask.test_planning import plan
from tests.evaluation.judge.sample import planned_run


def test_estimates(tmp_path: Path) -> None:
    setup = read_setup(planned_run(tmp_path))
    planned = plan(setup)
    cost = estimate(planned, backend="openai:gpt@https://x", rate=2.0, reply=50, price=10.0)
    text = sum(-(-len(q.text) // 4) + 8 for q in planned.questions)
    assert (cost.calls, cost.images, cost.image_tokens, cost.text_tokens) == (64, 128, 128 * 255, text)
    assert cost.reply_tokens == 64 * 50
    assert cost.cost == pytest.approx((128 * 255 + text + 64 * 50) * 10 / 1e6)
    dear = estimate(planned, backend="openai:gpt@https://x", rate=2.0, reply=50, price=10.0, reply_price=80.0)
    assert dear.cost == pytest.approx(cost.cost + 64 * 50 * 70 / 1e6)
    assert cost.seconds == 32
    assert estimate(planned, backend="transformers:x", rate=2.0).image_tokens == 128
    assert estimate(planned, backend="tiny", rate=2.0).image_tokens == 128 * IMAGE_TOKENS
    assert "64 calls, 128 images shown" in cost.describe()
    (setup.images / setup.items[0].path).write_bytes(b"")
    assert estimate(plan(setup), backend="tiny", rate=2.0).calls == 60


def test_replies_of_models_that_think() -> None:
    server = "openai:gpt@https://x/v1"
    unknown = expect_reply(server, "yes_no", None, [])
    assert unknown.tokens == 2
    assert "thinks" in unknown.source
    assert "thinks" not in expect_reply("tiny", "yes_no", None, []).source
    assert expect_reply(f"{server}?max_tokens=8192", "yes_no", None, []).tokens == 8192
    probed = {"name": server, "identity": {"capabilities": {"max_tokens": 4096}}}
    assert expect_reply(server, "yes_no", probed, []).tokens == 4096
    assert expect_reply("openai:other@https://x/v1", "yes_no", probed, []).tokens == 2
    replies = [Reply(usage={"completion_tokens": 300}), Reply(usage={"completion_tokens": 500}), Reply(failure="x")]
    assert expect_reply(server, "yes_no", probed, replies).tokens == 400
    assert expect_reply("tiny", "yes_no", probed, replies).tokens == 2
