"""A real OpenAI-compatible server: the embedded judge, served by transformers, answers as it does in this process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorarar.cli.main import main
from lorarar.storage.locations import EMBEDDED, EMBEDDED_JUDGE
from lorarar.worlds.toy.renderer import render
from lorarar.worlds.toy.world import toy_world
from tests.evaluation.judge.sample import LAYOUT

_NEEDED = [name for name in ("fastapi", "uvicorn", "multipart") if find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(_NEEDED), reason=f"`transformers serve` needs transformers[serving], without {_NEEDED} here"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The back end of a server that runs as long as the tests of this module."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, str(EMBEDDED_JUDGE), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"openai:{EMBEDDED_JUDGE}@http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text())


def save_renders(folder: Path) -> Path:
    """Renders of two test contents in two test styles, and the same with the contents exchanged."""
    world = toy_world()
    for method, shift in (("right", 0), ("wrong", 1)):
        for content in range(2):
            for style in range(2):
                path = folder / method / f"test_content_{content:02d}+test_style_{style:02d}" / "0.png"
                path.parent.mkdir(parents=True)
                subject = world.subjects["test"][(content + shift) % 2]
                Image.fromarray(np.asarray(render(subject, world.styles["test"][style], 7))).save(path)
    return folder


def values(run: Path) -> dict[tuple[str, str, str], bool]:
    """The votes of a run, by item, axis and reference; every question has one."""
    lines = map(json.loads, (run / "verdicts.jsonl").read_text().splitlines())
    return {(v["item"], v["axis"], v["reference"]): v["value"] > 0.5 for v in lines}


def test_plan_run_resume_and_report(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = save_renders(tmp_path / "images")
    concepts = ["--references", str(EMBEDDED / "concepts.yaml")]
    for name in ("served", "tiny"):
        run = str(tmp_path / name)
        assert main(["judge", "plan", str(images), "--layout", LAYOUT, *concepts, "-o", run, "--cases", "6"]) == 0
    served, tiny = tmp_path / "served", tmp_path / "tiny"
    assert main(["judge", "run", str(served), "--backend", server, "--budget-calls", "100"]) == 5
    capsys.readouterr()
    assert main(["judge", "run", str(served), "--backend", server]) == 0
    printed = capsys.readouterr().out
    assert "44 questions: 44 ok" in printed
    assert ", 0 failed" in printed
    assert main(["judge", "report", str(served)]) == 0
    assert main(["judge", "run", str(tiny), "--backend", "tiny"]) == 0
    assert values(served) == values(tiny)
    assert len((served / "log.jsonl").read_text().splitlines()) == len((tiny / "log.jsonl").read_text().splitlines())
    replies = [json.loads(line)["reply"] for line in (served / "log.jsonl").read_text().splitlines()]
    assert {reply["finish_reason"] for reply in replies} == {"stop"}
    assert {reply["usage"]["completion_tokens"] for reply in replies} == {2}  # the answer and its end
