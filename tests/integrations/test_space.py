"""The Space: its header, and the settings with which it starts the studio."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT

SPACE = ROOT / "integrations" / "space"


def test_the_header_names_what_is_there() -> None:
    header = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (SPACE / header["app_file"]).is_file()
    pinned = re.search(r"^gradio==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    assert (header["sdk"], header["sdk_version"]) == ("gradio", pinned[1])
    assert len(header["short_description"]) <= 60
    assert header["license"] == "apache-2.0"
    assert "lorarar[studio]" in (SPACE / "requirements.txt").read_text(encoding="utf-8")


def test_the_page_is_served_under_the_name_of_the_space(monkeypatch: pytest.MonkeyPatch) -> None:
    import lorarar.studio

    started: list[Any] = []
    monkeypatch.setattr(lorarar.studio, "run_studio", started.append)
    for host in ("me-studio.hf.space", ""):
        monkeypatch.setenv("SPACE_HOST", host)
        runpy.run_path(str(SPACE / "app.py"), run_name="__main__")
        assert (started[-1].host, started[-1].browser, started[-1].work) == (host, False, Path("studio"))


SERVE = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from lorarar.studio import StudioSettings
from lorarar.studio.server import open_server
for host, listened, frames in (("me.hf.space", "0.0.0.0", "https://huggingface.co"), ("", "127.0.0.1", "'none'")):
    server = open_server(StudioSettings(Path(sys.argv[1]), host=host), 7860)
    assert server.config.host == listened
    answer = TestClient(server.config.app, base_url=f"https://{host or '127.0.0.1:7860'}").get("/")
    assert answer.status_code == 200, answer.text
    assert f"frame-ancestors {frames}" in answer.headers["content-security-policy"]
    assert TestClient(server.config.app, base_url="https://other.hf.space").get("/").status_code == 403
"""


@pytest.mark.slow
def test_the_server_of_a_space(tmp_path: Path) -> None:
    """It listens on all addresses, answers under the Space's name alone, and lets the hub show it in a frame."""
    pytest.importorskip("gradio", reason="the extra studio is not installed")
    done = subprocess.run([sys.executable, "-c", SERVE, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
