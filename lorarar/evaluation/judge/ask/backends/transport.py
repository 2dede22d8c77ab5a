"""HTTP with a deadline and a size for the whole exchange: a server that drips bytes gains no time by it."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2


class _Allowance(threading.local):
    """What the exchange of this thread may still take."""

    ends: float = 0.0
    bytes_left: int = 0

    def time_left(self, timeout: float | None) -> float:
        """Seconds that the next step may take."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the exchange took too long")
        return left if timeout is None else min(left, timeout)

    def count(self, data: bytes) -> bytes:
        """Takes received bytes off."""
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise httpx2.RemoteProtocolError("the response is too long")
        return data


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, allowance: _Allowance) -> None:
        self._stream, self._allowance = stream, allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._allowance.count(self._stream.read(max_bytes, self._allowance.time_left(timeout)))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._allowance.time_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._allowance.time_left(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._allowance)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore2.NetworkBackend):
    def __init__(self, allowance: _Allowance) -> None:
        self._backend, self._allowance = httpcore2.SyncBackend(), allowance

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._allowance.time_left(timeout)
        return _Stream(self._backend.connect_tcp(host, port, left, local_address, socket_options), self._allowance)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


@contextmanager
def _translated() -> Iterator[None]:
    """httpcore's exceptions as those that httpx's users expect."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise httpx2.ReadTimeout(str(error)) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError) as error:
        raise httpx2.NetworkError(str(error)) from error


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class LimitedTransport(httpx2.BaseTransport):
    """Proxies are those of the environment. Compressed responses are refused: their size says nothing."""

    def __init__(self, url: str, *, connections: int, seconds: float, max_bytes: int) -> None:
        """Makes a transport to one server.

        Args:
            url: of the server, to find its proxy.
            seconds: that an exchange may take, from connecting to the body's last byte.
            max_bytes: that a server may send in one exchange, TLS and headers included.
        """
        self._allowance = _Allowance()
        self._seconds, self._max_bytes = seconds, max_bytes
        options: dict[str, Any] = {
            "ssl_context": httpx2.create_ssl_context(),
            "max_connections": connections,
            "keepalive_expiry": 5.0,
            "network_backend": _Network(self._allowance),
        }
        proxy = _proxy(url)
        self._pool: httpcore2.ConnectionPool = (
            httpcore2.ConnectionPool(**options)
            if proxy is None
            else httpcore2.HTTPProxy(proxy_url=str(proxy.url), proxy_auth=proxy.raw_auth, **options)
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request.

        Raises:
            httpx2.RemoteProtocolError: the response is too long or compressed: to ask again would not help.
            httpx2.ReadTimeout: the exchange, or a step of it, took too long.
            httpx2.NetworkError: anything else.
        """
        self._allowance.ends = time.monotonic() + self._seconds
        self._allowance.bytes_left = self._max_bytes
        url = request.url
        with _translated():
            response = self._pool.handle_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        found = httpx2.Response(response.status, headers=response.headers, stream=_Body(response.stream))
        if found.headers.get("content-encoding", "identity") != "identity":
            found.close()
            raise httpx2.RemoteProtocolError("the response is compressed, which was not asked for")
        return found

    def close(self) -> None:
        """Closes all connections."""
        self._pool.close()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone: nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(url: str) -> httpx2.Proxy | None:
    parsed = httpx2.URL(url)
    found = getproxies().get(parsed.scheme) or getproxies().get("all")
    return httpx2.Proxy(found) if found and not is_loopback(parsed.host) and not proxy_bypass(parsed.host) else None
