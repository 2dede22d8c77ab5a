"""A whole run against a server that does everything wrong: no failure becomes a score, the key is in no file."""

from __future__ import annotations

import csv
import json
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.backends.openai import Patience, open_openai
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.judgement import report_run
from lorarar.evaluation.judge.run import run_judge
from tests.evaluation.judge.ask.backends.server import (
    Handler,
    Play,
    answer,
    completion,
    drip,
    echo_key_error,
    endless,
    error,
    hang,
    reset,
    send,
    serving,
    zipped,
)
from tests.evaluation.judge.sample import planned_run

CANARY = "sk-canary-4711/very+secret=="
PATIENCE = Patience(call=1.0, total=4.0, attempts=2)


def echo(handler: Handler) -> None:
    """A proper answer that gives the key away."""
    answer(f"Yes. {handler.headers['authorization']}")(handler)


# What a server does to one question, its further attempt included, and the verdict's state.
FAULTS: list[tuple[list[Play], str]] = [
    ([error(429, retry_after="0.01"), answer()], "ok"),
    ([error(429, retry_after_ms="10"), answer("No")], "ok"),
    ([error(429, retry_after=formatdate(0, usegmt=True)), answer()], "ok"),
    ([error(500), answer()], "ok"),
    ([reset, reset], "error"),
    ([error(502), error(503)], "error"),
    ([hang(1.5), hang(1.5)], "error"),
    ([send(b'{"choices": [{"message": {"content": "Yes"')], "error"),
    ([drip(headers=False), answer()], "ok"),
    ([send(b"<html>Yes</html>", kind="text/html")], "error"),
    ([send({"choices": []})], "error"),
    ([answer(None)], "error"),
    ([answer("Yes", finish="content_filter")], "abstain"),
    ([answer("Yes", finish="length")], "abstain"),
    ([error(400, "Yes is beyond the maximum context length")], "error"),
    ([answer("Yes", model="another")], "error"),
    ([endless], "error"),
    ([zipped], "error"),
    ([send(b"", 307, location="http://127.0.0.1:9/v1/chat/completions")], "error"),
    ([echo], "ok"),
    ([echo_key_error], "error"),
    ([send({**completion(), "choices": [{"message": {"content": None, "refusal": "Yes, I refuse."}}]})], "abstain"),
    ([answer("I cannot see any images, yes.")], "abstain"),
]


def test_every_fault_in_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORARAR_API_KEY", CANARY)
    monkeypatch.setattr("lorarar.evaluation.judge.ask.backends.retries.FIRST_WAIT", 0.01)
    run = planned_run(tmp_path)
    setup = read_setup(run)
    with serving(answer()) as server:
        backend = open_openai("m", server.url, concurrency=1, patience=PATIENCE)
        run_judge(run, setup, backend, "faulty", calibrate_only=True)
        before = len(server.requests)
        plays = [play for behaviour, _ in FAULTS for play in behaviour]
        server.plays.extend(plays)
        judged = run_judge(run, setup, backend, "faulty", uncalibrated=True)
        assert len(server.requests) - before == 64 + len(plays) - len(FAULTS)
    print(judged.describe())
    report_run(run, setup)

    expected = Counter(state for _, state in FAULTS) + Counter(ok=64 - len(FAULTS))
    assert Counter(verdict.state for verdict in judged.verdicts.values()) == expected
    assert (judged.outcome.asked, judged.outcome.failed) == (64, expected["error"])
    counts = json.loads((run / "results.json").read_text())["results"]["counts"]
    assert counts == {"ok": 0, "abstain": 0, "error": 0, "invalid_input": 0, "not_run": 0} | dict(expected)
    for row in csv.DictReader((run / "results.csv").read_text().splitlines()):
        for axis, other in (("content", "style"), ("style", "content")):
            if row[f"{axis}_decided"] == "0":
                assert row[axis] == row[f"soft_{axis}"] == ""
                assert row["mars2"] == ("0.0" if row[other] == "0.0" else "")  # 0 on one axis decides the product
    check_secret(tmp_path, "".join([*capfd.readouterr(), repr(backend), repr(judged)]))


def check_secret(folder: Path, shown: str) -> None:
    """Neither the key nor its beginning is in any file or said."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"log.jsonl", "backend.json", "results.json", "report.html"} <= {path.name for path in files}
    for part in (CANARY, CANARY[:12]):
        assert part not in shown
        assert [path for path in files if part.encode() in path.read_bytes()] == []
