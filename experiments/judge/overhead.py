"""Measure what the judge's own work costs, and write overhead.json.

    python experiments/judge/overhead.py

Own overhead: 25 pairs x 10 images x 6 references through a mock, from planning to the written report. Throughput: a
local server that takes 50 ms for an answer and 16 requests at once, asked by a bare HTTP client and by the judge,
turn by turn, with bodies of the same size.
"""

from __future__ import annotations

import base64
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from lorarar.evaluation.judge import Question, judge_by_name, plan_all, plan_run, report_run
from lorarar.evaluation.judge.ask import Setup, read_setup, run_questions
from lorarar.evaluation.judge.ask.backends import open_openai

LATENCY, AT_ONCE, CALLS, ROUNDS = 0.05, 16, 640, 3
HERE = Path(__file__).parent
PAIRS, IMAGES, CONTENT_REFERENCES = 5, 10, 5  # 5 x 5 pairs; one more reference for the style


def main() -> None:
    """Measure and write the results."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        write_job(Path(folder), (384, 384))
        start, began = time.perf_counter(), time.process_time()
        print(
            plan_run(
                run, Path(folder) / "images", Path(folder) / "references.yaml", layout="{content}+{style}/{seed}.png"
            )
        )
        planned = time.perf_counter()
        setup = read_setup(run)
        judged_run = judge_by_name(run, setup, "mock:truth", labels=Path(folder) / "labels.jsonl")
        judged = time.perf_counter()
        page = report_run(run, setup).page
        reported, cpu = time.perf_counter(), time.process_time() - began
        result = {
            "questions": len(judged_run.planned.main.questions),
            "calibration_questions": len(judged_run.planned.calibration.questions),
            "plan_seconds": planned - start,
            "run_seconds": judged - planned,
            "report_seconds": reported - judged,
            "total_seconds": reported - start,
            "total_cpu_seconds": cpu,
            "report_bytes": page.stat().st_size,
            "throughput": measure_throughput(Path(folder), setup),
        }
    (HERE / "overhead.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def write_job(folder: Path, size: tuple[int, int]) -> None:
    """Write smooth random pictures of the size of photos, with references and labels."""
    lot, concepts, labels = np.random.default_rng(0), [], []
    for number in range(PAIRS):
        for kind, count in (("content", CONTENT_REFERENCES), ("style", 1)):
            name = f"{kind}_{number}"
            for image in range(count):
                save_picture(folder / "references" / name / f"{image}.png", size, lot)
            concepts.append(
                {"name": name, "kind": kind, "images": [f"references/{name}/{i}.png" for i in range(count)]}
            )
    (folder / "references.yaml").write_text(yaml.safe_dump({"concepts": concepts}))
    for pair in range(PAIRS**2):
        name = f"content_{pair // PAIRS}+style_{pair % PAIRS}"
        for seed in range(IMAGES):
            save_picture(folder / "images" / name / f"{seed}.png", size, lot)
            labels.append({"item": f"images/{name}/{seed}", "content": seed % 2, "style": seed // 2 % 2})
    (folder / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))


def save_picture(path: Path, size: tuple[int, int], lot: np.random.Generator) -> None:
    """Write a random colour field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = Image.fromarray(lot.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    small.resize(size, Image.Resampling.BICUBIC).save(path)


def measure_throughput(folder: Path, setup: Setup) -> dict[str, object]:
    """Measure the calls per second of both clients, in turns."""
    command = [sys.executable, str(HERE / "slow_server.py"), str(LATENCY), str(AT_ONCE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            backend = open_openai("slow", f"http://127.0.0.1:{port}/v1", concurrency=AT_ONCE)
            questions = list(plan_all(folder / "run", setup, backend.identity).main.questions)[:CALLS]
            size = sum(len(uri(question)) for question in questions[:24]) // 24
            bare, own = [], []
            for round_ in range(ROUNDS):
                bare.append(ask_bare(port, size))
                start = time.perf_counter()
                outcome = run_questions(questions, backend, folder / f"log{round_}")
                own.append(CALLS / (time.perf_counter() - start))
                assert (outcome.asked, outcome.failed) == (CALLS, 0)
        finally:
            server.terminate()
    return {
        "allowed_by_latency": AT_ONCE / LATENCY,
        "bare_client": bare,
        "judge": own,
        "judge_over_bare": statistics.median(own) / statistics.median(bare),
        "judge_over_allowed": statistics.median(own) * LATENCY / AT_ONCE,
        "body_bytes": size,
    }


def uri(question: Question) -> str:
    """Return the images of a question as a request holds them."""
    encoded = ""
    for path in question.images:
        buffer = io.BytesIO()
        Image.open(path).save(buffer, "PNG", compress_level=1)
        encoded += base64.b64encode(buffer.getvalue()).decode()
    return encoded


def ask_bare(port: int, size: int) -> float:
    """Return the calls per second of a client that only posts bytes, on as many kept connections."""
    body = b"x" * size

    def work(share: Sequence[int]) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        for _ in share:
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            assert connection.getresponse().read()
        connection.close()

    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, [range(i, CALLS, AT_ONCE) for i in range(AT_ONCE)]))
    return CALLS / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
