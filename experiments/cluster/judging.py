"""Judging: throughput against a server of known rate, memory, clients that share a run folder, and a long log.

.venv/bin/python experiments/cluster/judging.py --questions 100000 --lines 1000000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lorarar.datasets import load_image, pixel_hash
from lorarar.evaluation.judge import Question, Reply
from lorarar.evaluation.judge.ask import Shard, run_questions
from lorarar.evaluation.judge.ask.backends import open_openai
from lorarar.evaluation.judge.ask.reply_log import ReplyLog, log_files, read_replies
from lorarar.storage import write_json

HERE = Path(__file__).parent
SERVER = HERE.parent / "judge" / "slow_server.py"
CPU_SECONDS = 0.0025  # of client and server for a question
LATENCY, AT_ONCE, REFERENCES, IMAGES = 0.05, 16, 40, 200


def questions(folder: Path, count: int) -> list[Question]:
    """Questions about small images; those about one reference do not follow each other."""
    random, pictures = np.random.default_rng(0), []
    for number in range(REFERENCES + IMAGES):
        path = folder / f"{number}.png"
        if not path.exists():
            Image.fromarray(random.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(path)
        pictures.append((str(path), pixel_hash(load_image(path))))
    asked = []
    for number in range(count):
        pair = pictures[number % REFERENCES], pictures[REFERENCES + number // REFERENCES % IMAGES]
        asked.append(
            Question(
                id=hashlib.sha256(str(number).encode()).hexdigest(),
                item=f"image/{number}",
                axis="content",
                reference=pair[0][0],
                rubric="load",
                images=tuple(path for path, _ in pair),
                pixels=tuple(pixels for _, pixels in pair),
                text="Does the second image show the same object?",
            )
        )
    return asked


def megabytes() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def client(folder: Path, port: int, count: int, shard: Shard | None) -> dict[str, Any]:
    """Ask, and return the rate and the memory at each tenth of the work."""
    asked, memory, stop = questions(folder, count), [], threading.Event()
    backend = open_openai("slow", f"http://127.0.0.1:{port}/v1", concurrency=AT_ONCE)

    def watch() -> None:
        while not stop.wait(1):
            memory.append(round(megabytes(), 1))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, cpu = time.perf_counter(), time.process_time()
    outcome = run_questions(asked, backend, folder / "log.jsonl", shard=shard)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    stop.set()
    watcher.join()
    tenths = [memory[len(memory) * tenth // 10] for tenth in range(10)] if memory else []
    return {
        "asked": outcome.asked,
        "failed": outcome.failed,
        "rate": outcome.asked / seconds,
        "cpu_share": cpu / seconds,
        "memory_mb": tenths,
    }


def with_server(work: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    command = [sys.executable, str(SERVER), str(LATENCY), str(AT_ONCE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            return work(int(server.stdout.readline()))
        finally:
            server.terminate()


def one_client(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return with_server(lambda port: client(Path(folder), port, count, None))


def four_clients(count: int) -> dict[str, Any]:
    """Four processes with one run folder and one server."""
    with tempfile.TemporaryDirectory() as folder:
        questions(Path(folder), 1)  # the images

        def work(port: int) -> dict[str, Any]:
            words = [sys.executable, __file__, "--questions", str(count), "--client", folder]
            start = time.perf_counter()
            clients = [
                subprocess.Popen([*words, "--port", str(port), "--number", str(number)], stdout=subprocess.DEVNULL)
                for number in range(4)
            ]
            codes = [process.wait() for process in clients]
            return {"codes": codes, "rate": count / (time.perf_counter() - start)}

        found = with_server(work)
        lines = [line for file in log_files(Path(folder) / "log.jsonl") for line in file.read_text().splitlines()]
        answered = [json.loads(line)["question"] for line in lines]
        return found | {"lines": len(answered), "answered": len(set(answered))}


def long_log(lines: int) -> dict[str, Any]:
    """Write a log, and measure its size, the time to resume and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        path, [question] = Path(folder) / "log.jsonl", questions(Path(folder), 1)
        reply = Reply(text="Yes", finish_reason="stop", model="slow-1", seconds=0.05, usage={"total_tokens": 700})
        with ReplyLog(path) as log:
            log.append(question, reply)
        template = path.read_text().replace(question.id, "{}")
        with open(path, "w", encoding="utf-8") as file:
            for number in range(lines):
                file.write(template.replace("{}", hashlib.sha256(str(number).encode()).hexdigest(), 1))
        before, start, cpu = megabytes(), time.perf_counter(), time.process_time()
        replies = read_replies(path)
        return {
            "lines": len(replies),
            "bytes_a_line": path.stat().st_size / lines,
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "memory_mb": megabytes() - before,
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=HERE / "judging.json")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--client", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--number", type=int)
    options = parser.parse_args()
    if options.client:
        print(client(options.client, options.port, options.questions, Shard(options.number, 4)))
        return
    if options.plan:
        least = 2 * options.questions * LATENCY / AT_ONCE
        cpu = 2 * options.questions * CPU_SECONDS
        print(
            f"{options.questions} questions twice: at least {least / 60:.0f} minutes, {cpu / 60:.0f} of CPU time; "
            f"a log of {options.lines} lines: a minute"
        )
        return
    result: dict[str, Any] = {"questions": options.questions, "allowed_rate": AT_ONCE / LATENCY}
    for name, measure in (
        ("log", lambda: long_log(options.lines)),
        ("one_client", lambda: one_client(options.questions)),
        ("four_clients", lambda: four_clients(options.questions)),
    ):
        result[name] = measure()
        print(name, result[name], flush=True)
        write_json(options.output, result)


if __name__ == "__main__":
    main()
