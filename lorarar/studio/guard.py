"""Guard: refuses requests of other origins and hosts, requests that fetch from elsewhere, and uploads over the limit.

A browser sends requests to 127.0.0.1 for any page that it shows. The guard lets through only those of the studio's own
page: the header Host must name the studio (a name of another site that leads here, DNS rebinding, does not), Origin
must be the studio's where it is sent, and Sec-Fetch-Site must not be another site's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_FOREIGN_SITES = ("cross-site", "same-site")  # another port of this machine is of the same site
# Everything comes from the studio itself; data: are small pictures that the page makes.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
_ANSWER_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class TooLarge(Exception):  # noqa: N818  # it ends a request, and is no mistake of the program
    """An upload is larger than the limit."""


class Guard:
    """An ASGI application around another.

    Args:
        app: The application.
        hosts: Values of the header Host that are the studio's, such as "127.0.0.1:7860"; more may be added later.
        max_bytes: Largest body of a request.
        frames: Sites that may show the page in a frame, as in a content security policy.
    """

    def __init__(self, app: App, hosts: set[str], max_bytes: int, frames: str = "'none'") -> None:
        self.app, self.hosts, self.max_bytes = app, hosts, max_bytes
        self.headers = {"content-security-policy": f"{POLICY}; frame-ancestors {frames}", **_ANSWER_HEADERS}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = refuse(scope["type"], scope.get("method", "GET"), scope["path"], headers, self.hosts)
        if refusal is None and _length(headers) > self.max_bytes:
            refusal = 413, f"expected at most {self.max_bytes / 1e9:g} GB, found {_length(headers) / 1e9:.2f} GB"
        if refusal:
            await _answer(scope["type"], send, *refusal)
            return
        await self._pass(scope, receive, send)

    async def _pass(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Hand a request on; a body without a stated length is counted, the answer gets its headers."""
        count, started = 0, False

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self.max_bytes:
                raise TooLarge
            return message

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                kept = [pair for pair in message["headers"] if pair[0].decode("latin-1").lower() not in self.headers]
                own = [(name.encode(), value.encode()) for name, value in self.headers.items()]
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except TooLarge:
            if not started:
                await _answer(scope["type"], send, 413, f"expected at most {self.max_bytes / 1e9:g} GB")


def refuse(kind: str, method: str, path: str, headers: dict[str, str], hosts: set[str]) -> tuple[int, str] | None:
    """Return status and reason for a request that is refused; None for one of the studio's own page.

    Args:
        kind: "http" or "websocket".
        method: Such as "GET".
        path: Path of the address.
        headers: Headers by lower-case name.
        hosts: Values of Host that are the studio's.
    """
    if headers.get("host", "") not in hosts:
        return 403, f"expected the address of the studio, found {headers.get('host', 'none')!r}: open {min(hosts)}"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers["host"]:
        return 403, "expected a request of the studio's own page, found one of another origin"
    opens_page = kind == "http" and method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in _FOREIGN_SITES and not opens_page:
        return 403, "expected a request of the studio's own page, found one of another site"
    if "file=http" in path or "/proxy=" in path:
        return 403, "expected a file of the studio, found an address elsewhere"
    return None


def _length(headers: dict[str, str]) -> int:
    stated = headers.get("content-length", "0")
    return int(stated) if stated.isdecimal() else 0


async def _answer(kind: str, send: Send, status: int, reason: str) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
