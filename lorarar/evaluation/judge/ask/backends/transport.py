"""HTTP transport: a time limit and a size limit for a whole exchange, even with a server that drips bytes."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from urllib.request import getproxies, proxy_bypass

import httpx2

_KEEPALIVE_SECONDS = 5.0


class ResponseRefused(httpx2.RemoteProtocolError):
    """A response is too long or compressed; another attempt would not help."""


class LimitedTransport(httpx2.BaseTransport):
    """A synchronous transport on an event loop in a thread of its own.

    The timeouts of a client apply to each read, so they never stop a server that sends a byte now and then. The event
    loop cancels an exchange at its deadline, whatever step it is in.

    Proxies are those of the environment. Compressed responses are refused, since their size says nothing about the size
    of the content.
    """

    def __init__(self, url: str, *, connections: int, seconds: float, max_bytes: int) -> None:
        """Create a transport to one server.

        Args:
            url: Of the server, to find its proxy.
            connections: The largest number of simultaneous exchanges.
            seconds: The time limit of an exchange, from connecting to the last byte of the body; the timeout of a
                request takes its place.
            max_bytes: The largest body of a response.
        """
        self._seconds, self._max_bytes = seconds, max_bytes
        limits = httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
        self._transport = httpx2.AsyncHTTPTransport(proxy=_proxy(url), limits=limits)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run_loop, args=(self._loop,), daemon=True)
        self._thread.start()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and read the whole response.

        Raises:
            ResponseRefused: The response is too long or compressed.
            httpx2.ReadTimeout: The exchange took too long.
            httpx2.TransportError: Anything else went wrong.
        """
        seconds = request.extensions.get("timeout", {}).get("read") or self._seconds
        exchange = asyncio.run_coroutine_threadsafe(self._exchange(request, seconds), self._loop)
        try:
            return exchange.result()
        except BaseException:  # an interrupt of this thread ends the exchange too
            exchange.cancel()
            raise

    def close(self) -> None:
        """Close all connections and end the thread."""
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
        if threading.current_thread() is not self._thread:  # the garbage collector may call this on any thread
            self._thread.join()

    async def _exchange(self, request: httpx2.Request, seconds: float) -> httpx2.Response:
        try:
            async with asyncio.timeout(seconds):
                response = await self._transport.handle_async_request(request)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the exchange took too long") from error
        return httpx2.Response(response.status_code, headers=response.headers, content=body)

    async def _read(self, response: httpx2.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ResponseRefused("the response is compressed, which was not requested")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise ResponseRefused("the response is too long")
        return bytes(body)

    async def _shut_down(self) -> None:
        await self._transport.aclose()
        self._loop.stop()


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name alone: no name is resolved."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _proxy(url: str) -> httpx2.Proxy | None:
    parsed = httpx2.URL(url)
    proxy = getproxies().get(parsed.scheme) or getproxies().get("all")
    direct = is_loopback(parsed.host) or proxy_bypass(parsed.host)
    return httpx2.Proxy(proxy) if proxy and not direct else None
