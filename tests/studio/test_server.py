"""The server: the page without requests elsewhere, and hostile requests over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.main import main
from lorarar.storage import EMBEDDED, MissingPackage
from lorarar.studio import server as studio_server
from lorarar.studio.server import StudioSettings, open_server
from tests.studio.running import studio

LORAS = EMBEDDED / "loras"
GRADIO = pytest.mark.skipif(find_spec("gradio") is None, reason="the extra studio is not installed")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running studio that takes uploads of a megabyte."""
    with studio(tmp_path_factory.mktemp("work"), str(LORAS), "--max-upload", "0.001") as port:
        yield port


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before the whole body was sent
            connection.request(method, path, body, sent)
        with connection.getresponse() as answer:
            return answer.status, answer.read()


@GRADIO
def test_gradio_is_version_6() -> None:
    # with pillow 13 pip takes Gradio 3 without a word
    assert version("gradio").startswith("6.")
    assert version("pillow").startswith("12.")


def test_without_gradio_the_command_says_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(studio_server, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"gradio for the web page.*pip install 'lorarar\[studio\]'"):
        open_server(StudioSettings(tmp_path), 1)
    assert main(["studio", "--no-browser", "-o", str(tmp_path)]) == ExitCode.MISSING
    assert "lorarar[studio]" in capsys.readouterr().err


@GRADIO
def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder or an index at .*nowhere"):
        open_server(StudioSettings(tmp_path, (tmp_path / "nowhere",)), 1)


@GRADIO
@pytest.mark.slow
def test_the_page_and_its_files_are_refused_to_others(port: int) -> None:
    status, page = ask(port, "GET", "/")
    assert status == 200
    assert b"lorarar studio" in page
    assert b"fonts.googleapis" not in page
    assert b"cdnjs" not in page
    own = f"127.0.0.1:{port}"
    assert ask(port, "GET", "/", Host="evil.example")[0] == 403
    assert ask(port, "GET", "/config", Host=own, Origin="https://evil.example")[0] == 403
    assert ask(port, "GET", "/config", Host=own, Sec_Fetch_Site="cross-site")[0] == 403
    inside, outside = LORAS / "test_style_03.safetensors", Path("/etc/passwd")
    for file in (inside, outside, f"{LORAS}/../concepts.yaml", Path(__file__)):
        assert ask(port, "GET", f"/gradio_api/file={file}", Host=own)[0] in (403, 404)
    assert ask(port, "GET", "/gradio_api/file=http://127.0.0.1:1/", Host=own)[0] == 403


@GRADIO
@pytest.mark.slow
def test_a_merge_cannot_be_started_from_elsewhere(port: int) -> None:
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": "x"}).encode()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        status, _ = ask(port, "POST", "/gradio_api/queue/join", body, Origin=origin, Content_Type="application/json")
        assert status == 403


@GRADIO
@pytest.mark.slow
def test_an_upload_over_the_limit_is_refused_early(port: int) -> None:
    status, _ = ask(port, "POST", "/gradio_api/upload", b"", Content_Length="10000000000")
    assert status == 413
    big = b"--b\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n" + bytes(2_000_000) + b"\r\n--b--\r\n"
    assert ask(port, "POST", "/gradio_api/upload", big, Content_Type="multipart/form-data; boundary=b")[0] == 413


@GRADIO
@pytest.mark.slow
def test_a_path_that_was_not_uploaded_is_no_input(port: int) -> None:
    """A client that names a file of the disk as its upload gets an error, not the file."""
    config = json.loads(ask(port, "GET", "/config")[1])
    (drop,) = [part["id"] for part in config["components"] if part["props"].get("label", "").startswith("Drop two")]
    (number,) = [d["id"] for d in config["dependencies"] if [drop, "upload"] in [list(t) for t in d["targets"]]]
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    data = [[], *[1.0] * 6, [file]]
    body = json.dumps({"data": data, "fn_index": number, "session_hash": "s"}).encode()
    assert ask(port, "POST", "/gradio_api/queue/join", body, Content_Type="application/json")[0] == 200
    text = ""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/gradio_api/queue/data?session_hash=s")
        with connection.getresponse() as answer:
            while "process_completed" not in text:
                text += answer.readline().decode()
    assert '"success":false' in text.replace(" ", "")
    assert "root:" not in text
