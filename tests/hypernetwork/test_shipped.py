"""lorarar.hypernetwork.shipped: the network of a family, found without reading it and opened once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lorarar.hypernetwork.shipped import shipped_network
from lorarar.storage.locations import NETWORKS


@pytest.fixture
def embedded_loras() -> list[str]:
    return [f"data/embedded/loras/test_{kind}_00.safetensors" for kind in ("content", "style")]


@pytest.mark.slow
def test_a_merge_opens_the_shipped_network_once(embedded_loras: list[str], tmp_path: Path) -> None:
    """Check that Python opens the file once, safetensors maps it once, and no other network is opened."""
    code = f"""
import collections, json, sys
import safetensors
opened, mapped, map_file = collections.Counter(), collections.Counter(), safetensors.safe_open

def safe_open(path, *args, **kwargs):
    mapped[str(path)] += 1
    return map_file(path, *args, **kwargs)

safetensors.safe_open = safe_open
sys.addaudithook(lambda event, args: event == "open" and opened.update([str(args[0])]))
from lorarar.cli.main import main
assert main(["merge", *{embedded_loras}, "-o", {str(tmp_path / "m.safetensors")!r}, "--json"]) == 0
networks = [{{k: n for k, n in c.items() if "networks" in k and k.endswith(".safetensors")}} for c in (opened, mapped)]
print(json.dumps(networks), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    file = json.loads(run.stdout)["method"]["file"]
    assert Path(file) == NETWORKS / "hypernetwork.safetensors"
    assert json.loads(run.stderr.splitlines()[-1]) == [{file: 1}, {file: 1}]


def test_the_shipped_network_is_found_by_its_card_alone(tmp_path: Path) -> None:
    (tmp_path / "a.card.json").write_text('{"default_for": "other"}')
    (tmp_path / "b.card.json").write_text('{"default_for": "embedded"}')  # no network beside it: none is read
    assert shipped_network("embedded", tmp_path) == tmp_path / "b.safetensors"
    assert shipped_network("other", tmp_path) == tmp_path / "a.safetensors"
    assert shipped_network("sdxl", tmp_path) is None
    assert shipped_network("", tmp_path) is None
