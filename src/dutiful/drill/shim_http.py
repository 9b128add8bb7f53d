"""The shims of httpx, requests, urllib3, aiohttp and ``http.client``: calls go to the simulated provider.

Only libraries that the program has loaded are shimmed. What opens a socket past them is unseen I/O.
"""

from __future__ import annotations

import http.client
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .boundaries import track
from .provider import Answer, Lost, Provider, http_call


@contextmanager
def put(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute for a while."""
    before = holder.__dict__[name] if name in getattr(holder, "__dict__", {}) else getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


@contextmanager
def http_shims(provider: Provider) -> Iterator[None]:
    """While it is on, calls made in a run are answered by the provider."""
    from .shim_aiohttp import aiohttp_shim

    with ExitStack() as stack:
        for shim in (_http_client, _urllib3, _requests, _httpx, aiohttp_shim):
            shim(provider, stack)
        yield


def _httpx(provider: Provider, stack: ExitStack) -> None:
    httpx = sys.modules.get("httpx")
    if httpx is None:
        return
    sync, asynchronous = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def answered(request: Any, body: bytes) -> Any:
        try:
            answer = provider.ask(http_call(request.method, str(request.url), request.headers, body))
        except Lost:
            raise httpx.ReadTimeout("timed out", request=request) from None
        return httpx.Response(
            answer.status, headers=list(answer.headers), content=answer.body, request=request
        )

    def handle(self: Any, request: Any) -> Any:
        return sync(self, request) if track() is None else answered(request, request.read())

    async def ahandle(self: Any, request: Any) -> Any:
        if track() is None:
            return await asynchronous(self, request)
        return answered(request, await request.aread())

    stack.enter_context(put(httpx.HTTPTransport, "handle_request", handle))
    stack.enter_context(put(httpx.AsyncHTTPTransport, "handle_async_request", ahandle))


def _requests(provider: Provider, stack: ExitStack) -> None:
    requests = sys.modules.get("requests")
    if requests is None:
        return
    from requests.adapters import HTTPAdapter

    real = HTTPAdapter.send

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        if track() is None:
            return real(self, request, *args, **kwargs)
        try:
            answer = provider.ask(http_call(request.method, request.url, request.headers, request.body))
        except Lost:
            raise requests.exceptions.ReadTimeout("timed out", request=request) from None
        return self.build_response(request, _urllib3_response(answer))

    stack.enter_context(put(HTTPAdapter, "send", send))


def _urllib3_response(answer: Answer) -> Any:
    from urllib3 import HTTPResponse

    return HTTPResponse(
        body=io.BytesIO(answer.body),
        status=answer.status,
        headers=dict(answer.headers),
        preload_content=False,
    )


def _urllib3(provider: Provider, stack: ExitStack) -> None:
    urllib3 = sys.modules.get("urllib3")
    if urllib3 is None:
        return
    from urllib3.connectionpool import HTTPConnectionPool

    real = HTTPConnectionPool.urlopen

    def urlopen(self: Any, method: str, url: str, body: Any = None, headers: Any = None, **more: Any) -> Any:
        if track() is None:
            return real(self, method, url, body, headers, **more)
        whole = url if "://" in url else f"{self.scheme}://{self.host}{url}"
        try:
            answer = provider.ask(http_call(method, whole, headers or {}, body))
        except Lost:
            raise urllib3.exceptions.ReadTimeoutError(self, url, "timed out") from None
        response = _urllib3_response(answer)
        if more.get("preload_content", True):
            response.read(cache_content=True)
        return response

    stack.enter_context(put(HTTPConnectionPool, "urlopen", urlopen))


class _Replied:
    """What ``http.client`` reads an answer from."""

    def __init__(self, answer: Answer) -> None:
        lines = [f"HTTP/1.1 {answer.status} x", *(f"{k}: {v}" for k, v in answer.headers)]
        head = "\r\n".join([*lines, f"content-length: {len(answer.body)}", "", ""])
        self._data = head.encode() + answer.body

    def makefile(self, *args: Any) -> Any:
        return io.BytesIO(self._data)


def _http_client(provider: Provider, stack: ExitStack) -> None:
    real, real_response = http.client.HTTPConnection.request, http.client.HTTPConnection.getresponse

    def request(self: Any, method: str, url: str, body: Any = None, headers: Any = None, **more: Any) -> None:
        if track() is None:
            return real(self, method, url, body, headers or {}, **more)
        scheme = "https" if isinstance(self, http.client.HTTPSConnection) else "http"
        whole = url if "://" in url else f"{scheme}://{self.host}{url}"
        try:
            self._drilled = provider.ask(http_call(method, whole, headers or {}, body))
        except Lost:
            raise TimeoutError("timed out") from None
        return None

    def getresponse(self: Any) -> Any:
        answer = self.__dict__.pop("_drilled", None)
        if answer is None:
            return real_response(self)
        response = http.client.HTTPResponse(_Replied(answer))  # type: ignore[arg-type]
        response.begin()
        return response

    stack.enter_context(put(http.client.HTTPConnection, "request", request))
    stack.enter_context(put(http.client.HTTPConnection, "getresponse", getresponse))
