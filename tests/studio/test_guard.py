"""The guard lets through requests of the studio's own page, up to a size, and no others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lorarar.studio.guard import Guard, refuse

HOST = "127.0.0.1:7860"
OWN = {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        (OWN, "/gradio_api/queue/join", None),
        ({"host": HOST}, "/gradio_api/queue/join", None),  # a program of this machine
        ({**OWN, "origin": "https://evil.example"}, "/gradio_api/queue/join", 403),
        ({**OWN, "origin": "null"}, "/gradio_api/queue/join", 403),
        ({**OWN, "origin": "http://127.0.0.1:9999"}, "/gradio_api/queue/join", 403),  # another page of this machine
        (
            {"host": "evil.example:7860", "origin": "http://evil.example:7860"},
            "/gradio_api/queue/join",
            403,
        ),  # rebinding
        ({"host": "evil.example"}, "/", 403),
        ({}, "/", 403),
        ({"host": HOST, "sec-fetch-site": "cross-site"}, "/gradio_api/file=/etc/passwd", 403),
        ({"host": HOST, "sec-fetch-site": "same-site"}, "/gradio_api/call/save", 403),
        (OWN, "/gradio_api/file=http://elsewhere/", 403),
        (OWN, "/gradio_api/proxy=https://elsewhere/", 403),
    ],
)
def test_a_request_of_another_page_is_refused(headers: dict[str, str], path: str, status: int | None) -> None:
    answer = refuse("http", "POST", path, headers, {HOST})
    assert (answer and answer[0]) == status


def test_a_link_from_elsewhere_may_open_the_page_alone() -> None:
    headers = {"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert refuse("http", "GET", "/", headers, {HOST}) is None
    assert refuse("http", "POST", "/", headers, {HOST})
    assert refuse("http", "GET", "/gradio_api/config", headers, {HOST})
    assert refuse("websocket", "GET", "/", headers, {HOST})


def ask(headers: dict[str, str], chunks: list[bytes], limit: int) -> tuple[int, dict[str, str], int]:
    """Status and headers of the answer, and how many bytes the application saw."""
    sent: list[Any] = []
    seen = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal seen
        more = True
        while more:
            message = await receive()
            seen, more = seen + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame", b"1")]})
        await send({"type": "http.response.body", "body": b""})

    messages = [{"type": "http.request", "body": c, "more_body": i + 1 < len(chunks)} for i, c in enumerate(chunks)]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in {**OWN, **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": raw}
    asyncio.run(Guard(app, {HOST}, limit)(scope, receive, send))
    return sent[0]["status"], {n.decode(): v.decode() for n, v in sent[0]["headers"]}, seen


def test_an_upload_over_the_limit_is_refused_before_it_is_read() -> None:
    assert ask({"content-length": "10000000000"}, [b"x"], 8_000_000_000)[::2] == (413, 0)


def test_an_upload_without_a_stated_length_is_counted() -> None:
    status, _, seen = ask({}, [b"x" * 60, b"x" * 60, b"x" * 60], 100)
    assert (status, seen) == (413, 60)
    assert ask({}, [b"x" * 60, b"x" * 40], 100)[::2] == (200, 100)


def test_every_answer_forbids_other_origins_and_frames() -> None:
    headers = ask({}, [b""], 100)[1]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame"] == "1"
