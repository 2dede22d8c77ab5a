"""lorarar benchmark quality: a run that is killed repeatedly ends with the results of an undisturbed run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from lorarar.benchmark.quality.config import QualityConfig

KILLS = 10
ROWS = [
    {"name": "base", "kind": "base"},
    {"name": "direct", "kind": "merger", "source": "direct"},
    {"name": "TIES", "kind": "merger", "source": "ties", "tried": [{"density": 0.3}, {"density": 0.6}]},
    {"name": "ZipLoRA", "kind": "pair", "source": "ziplora", "settings": {"steps": 8}},
    {"name": "composite", "kind": "merger", "source": "composite"},
]


@pytest.mark.slow
def test_sigkill_changes_nothing(config: QualityConfig, tmp_path: Path) -> None:
    small = replace(config, judge="tiny", budget=2, group=1)
    plain = json.loads(json.dumps(asdict(small), default=str)) | {"methods": ROWS}
    files = {}
    for name in ("killed", "alone"):
        own = plain | {"output": str(tmp_path / name / "output"), "runs": str(tmp_path / name / "runs")}
        files[name] = tmp_path / f"{name}.yaml"
        files[name].write_text(yaml.safe_dump(own))
    draw = random.Random(0)
    left_alone = _started(files["alone"])
    for _ in range(KILLS):
        started = _started(files["killed"])
        time.sleep(draw.uniform(4, 14))
        started.send_signal(signal.SIGKILL)
        started.wait()
    assert [_started(files["killed"]).wait(), left_alone.wait()] == [0, 0]
    results = [(tmp_path / name / "output" / "results.json").read_text() for name in files]
    assert results[0].replace("/killed/", "/alone/") == results[1]


def _started(config: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "lorarar.cli", "benchmark", "quality", str(config)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
