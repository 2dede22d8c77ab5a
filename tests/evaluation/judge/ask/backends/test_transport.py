"""lorarar.evaluation.judge.ask.backends.transport: deadline, size and proxies; see test_openai for hostile servers."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from lorarar.evaluation.judge.ask.backends.transport import LimitedTransport, is_loopback
from tests.evaluation.judge.ask.backends.server import FakeServer, Play, answer, drip, endless, serving, zipped


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(answer()) as running:
        yield running


def post(server: FakeServer, *plays: Play, url: str = "") -> httpx2.Response:
    server.plays.extend(plays)
    url = url or f"{server.url}/chat/completions"
    with httpx2.Client(transport=LimitedTransport(url, connections=2, seconds=0.4, max_bytes=10_000)) as client:
        return client.post(url, json={}, timeout=None)


def test_an_exchange_as_it_should_be(server: FakeServer) -> None:
    assert post(server).json()["choices"][0]["message"]["content"] == "Yes"


@pytest.mark.parametrize("headers", [True, False])
def test_drips_do_not_outlast_the_deadline(server: FakeServer, headers: bool) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        post(server, drip(headers=headers))


@pytest.mark.parametrize(("play", "message"), [(endless, "too long"), (zipped, "compressed")])
def test_what_is_refused(server: FakeServer, play: Play, message: str) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match=message):
        post(server, play)


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_address[1]}")
    assert post(server, url="http://judge.example/v1").json()["model"] == "fake-1"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert post(server).status_code == 200
    with pytest.raises(httpx2.NetworkError):
        post(server, url="http://judge.example/v1")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False),
     ("localhost.example.org", False), ("127.0.0.1.example.org", False), ("0.0.0.0", False)],
)  # fmt: skip
def test_what_is_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
