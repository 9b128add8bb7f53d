"""The shim of aiohttp's client: the provider is asked where the body awaits, and its answer goes through a
connection without a socket, so that all else (sessions, hooks, JSON, ``raise_for_status``) is aiohttp's own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from http.client import responses
from typing import Any
from urllib.parse import urlencode

from .boundaries import track
from .provider import Answer, Lost, Provider, http_call

_answer: ContextVar[Answer | None] = ContextVar("drill_answer", default=None)


class _Wire(asyncio.Transport):
    """Takes whatever is sent, and gives the answer once."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._protocol: Any = None
        self._closing = False
        reason = responses.get(answer.status, "")
        lines = [
            f"HTTP/1.1 {answer.status} {reason}",
            *(f"{name}: {value}" for name, value in answer.headers),
        ]
        head = "\r\n".join([*lines, f"content-length: {len(answer.body)}", "connection: close", "", ""])
        self._left: bytes | None = head.encode() + answer.body

    def stand(self, protocol: Any) -> None:
        """Begin."""
        self._protocol = protocol
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        """The first bytes of a request are enough: what it says was told to the provider already."""
        if self._left is not None and data:
            left, self._left = self._left, None
            asyncio.get_running_loop().call_soon(self._protocol.data_received, left)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """See :meth:`write`."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Nobody is told twice."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    def is_reading(self) -> bool:
        """There is nothing to hold back."""
        return not self._closing

    def pause_reading(self) -> None:
        """See :meth:`is_reading`."""

    def resume_reading(self) -> None:
        """See :meth:`is_reading`."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        """See :meth:`set_write_buffer_limits`."""
        return 0


def aiohttp_shim(provider: Provider, stack: ExitStack) -> None:
    """While the stack is open, calls made in a run are answered by the provider."""
    aiohttp: Any = sys.modules.get("aiohttp")
    if aiohttp is None:
        return
    from .shim_http import put

    handler: Any = sys.modules["aiohttp.client_proto"].ResponseHandler

    real, real_create = aiohttp.ClientSession._request, aiohttp.TCPConnector._create_connection

    async def request(self: Any, method: str, url: Any, **given: Any) -> Any:
        if track() is None:
            return await real(self, method, url, **given)
        whole = self._build_url(url)
        if given.get("params"):
            whole = whole.update_query(given["params"])
        headers = self._prepare_headers(given.get("headers"))
        body = _body(self, given.get("json"), given.get("data"), headers)
        try:
            answer = provider.ask(http_call(method, str(whole), headers, body))
        except Lost:
            raise aiohttp.ServerTimeoutError("Timeout on reading data from socket") from None
        before = _answer.set(answer)
        try:
            return await real(self, method, url, **given)
        finally:
            _answer.reset(before)

    async def create(self: Any, *args: Any, **given: Any) -> Any:
        answer = _answer.get()
        if answer is None:
            return await real_create(self, *args, **given)
        protocol = handler(loop=asyncio.get_running_loop())
        _Wire(answer).stand(protocol)
        return protocol

    stack.enter_context(put(aiohttp.ClientSession, "_request", request))
    stack.enter_context(put(aiohttp.TCPConnector, "_create_connection", create))


def _body(session: Any, value: Any, data: Any, headers: Any) -> bytes | str:
    if value is not None:
        return json.dumps(value, default=str)
    if data is None or isinstance(data, bytes | str):
        return data or ""
    if isinstance(data, Mapping) or (isinstance(data, list | tuple) and all(map(_is_pair, data))):
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        return urlencode(list(data.items()) if isinstance(data, Mapping) else data)
    fields = getattr(data, "_fields", None)  # FormData
    if fields is not None:
        return json.dumps([[dict(about), str(value)] for about, _, value in fields], default=str)
    return f"<{type(data).__name__}>"


def _is_pair(one: Any) -> bool:
    return isinstance(one, tuple) and len(one) == 2
