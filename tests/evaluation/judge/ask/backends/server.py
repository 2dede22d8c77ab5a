"""A local OpenAI-compatible server with faults that a test chooses."""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Play = Callable[["Handler"], None]
MODEL = "fake-1"


class FakeServer(ThreadingHTTPServer):
    """Plays one behaviour a request, then the default one for ever."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, default: Play) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.default, self.plays = default, deque[Play]()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the game."""


class Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"
    request_body: dict[str, Any]

    def do_POST(self) -> None:
        self.request_body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(self.request_body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.times.append(time.monotonic())
        play = self.server.plays.popleft() if self.server.plays else self.server.default
        play(self)

    def do_GET(self) -> None:
        self.server.requests.append({"GET": self.path})
        self.reply(b"{}")

    def reply(self, body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def serving(default: Play) -> Iterator[FakeServer]:
    server = FakeServer(default)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(content: Any = "Yes", *, finish: str | None = "stop", model: str = MODEL, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    return {"object": "chat.completion", "model": model, "choices": [choice], "usage": {"prompt_tokens": 9}}


def answer(content: Any = "Yes", **more: Any) -> Play:
    return send(completion(content, **more))


def send(body: dict[str, Any] | bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Play:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler: handler.reply(data, status, kind, **headers)


def error(status: int, message: str = "no", **headers: str) -> Play:
    return send({"error": {"message": message}}, status, **headers)


def hang(seconds: float) -> Play:
    def play(handler: Handler) -> None:
        time.sleep(seconds)
        answer()(handler)

    return play


def drip(*, headers: bool) -> Play:
    """One byte every 50 ms, of the headers or of the body."""

    def play(handler: Handler) -> None:
        body = json.dumps(completion()).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        data = head if headers else body
        if not headers:
            handler.wfile.write(head)
        for byte in data:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)

    return play


def reset(handler: Handler) -> None:
    """The connection is torn down, not closed."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())


def endless(handler: Handler) -> None:
    """A body of 100 MB."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(100 << 20))
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" " * (1 << 20))


def zipped(handler: Handler) -> None:
    """A compressed body, which would grow when it is read."""
    handler.reply(gzip.compress(json.dumps(completion()).encode()), content_encoding="gzip")


def echo_key(handler: Handler) -> None:
    key = handler.headers["authorization"]
    body = completion(f"Yes {key}", model=f"fake-1 {key}")
    handler.reply(json.dumps(body | {"usage": {key: 3}}).encode())


def echo_key_error(handler: Handler) -> None:
    key = handler.headers["authorization"]
    handler.reply(json.dumps({"error": {"message": "x" * 250 + f"bad key {key}"}}).encode(), 401)
