"""lorarar.evaluation.judge.by_name: clients with shares of the questions, and workers of an engine."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.reply_log import Shard
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.by_name import judge_by_name
from lorarar.evaluation.judge.run import reread
from lorarar.storage.units import Workers
from tests.evaluation.judge.sample import planned_run


def test_clients_with_shares_end_like_one_client(tmp_path: Path) -> None:
    run, labels = planned_run(tmp_path / "a"), tmp_path / "a" / "labels.jsonl"
    setup = read_setup(run)
    with pytest.raises(ValueError, match="expected a finished calibration before a `shard`, found .* without a reply"):
        judge_by_name(run, setup, "mock:truth", labels=labels, shard=Shard(0, 2))
    judge_by_name(run, setup, "mock:truth", labels=labels, calibrate_only=True)
    parts = [judge_by_name(run, setup, "mock:truth", labels=labels, shard=Shard(n, 2)) for n in range(2)]
    assert all(part.status() == "complete" for part in parts)
    reread(run, setup)
    alone = planned_run(tmp_path / "b")
    whole = judge_by_name(alone, read_setup(alone), "mock:truth", labels=tmp_path / "b" / "labels.jsonl")
    assert sum(part.outcome.asked for part in parts if part.outcome) == len(whole.verdicts)
    assert (run / "verdicts.jsonl").read_bytes() == (alone / "verdicts.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_workers_end_like_one_client(tmp_path: Path) -> None:
    run, alone = planned_run(tmp_path / "a"), planned_run(tmp_path / "b")
    judged = judge_by_name(
        run,
        read_setup(run),
        "mock:truth",
        labels=tmp_path / "a" / "labels.jsonl",
        engine="ray",
        workers=Workers(count=2),
    )
    assert judged.status() == "complete"
    judge_by_name(alone, read_setup(alone), "mock:truth", labels=tmp_path / "b" / "labels.jsonl")
    assert (run / "verdicts.jsonl").read_bytes() == (alone / "verdicts.jsonl").read_bytes()
    lines = [line for log in run.glob("log*.jsonl") for line in log.read_text().splitlines()]
    asked = [json.loads(line)["question"] for line in lines]
    assert len(asked) == len(set(asked))
    with pytest.raises(ValueError, match="expected no `budget`"):
        judge_by_name(run, read_setup(run), "mock:truth", engine="ray", budget=3)
