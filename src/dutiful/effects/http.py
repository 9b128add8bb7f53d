"""HTTP requests as effects: the key in a header, and every outcome classified as an effect wants it.

``run.effect("pay", do=http.call(client, "POST", url, json={…}), remembered="24h")`` with a client of
httpx (extra ``http``); ``http.acall`` with its ``AsyncClient``, for ``run.aeffect``.

=========================================  =========================================================
what came back                             what it means
=========================================  =========================================================
2xx                                        done; the result is the JSON, the text, or what ``take`` makes
4xx, but those below                       refused: this call was not applied
409                                        unknown: a call under this key is still under way there
422                                        refused; perhaps the key is known there with another request
408, 425, 429, 503                         unknown; ``Retry-After`` is honoured by the next try
3xx (redirects are not followed), 5xx      unknown
no connection                              not sent: see below
time-out, reset, broken answer             unknown
=========================================  =========================================================

*Not sent* are ``ConnectError``, ``ConnectTimeout`` and ``PoolTimeout``: httpx raises them only while it
looks for a connection, before the first byte of the request is written, and once per request: redirects
are off, and a transport's ``retries=`` repeats only the connecting. A connection that breaks later is a
``ReadError``, ``WriteError`` or ``RemoteProtocolError``, and may have carried the whole request.
(So a transport of your own must not repeat requests: its last error would speak for the first one.)
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ..model.errors import EffectNotSent, EffectRefused, EffectUnknown, ResultNotKept

if TYPE_CHECKING:
    import httpx

HEADER = "Idempotency-Key"
BODY_CHARS_MAX = 200
"""So much of a refusal's body is in the error that people read."""

Take = Literal["json", "text", "status"] | Callable[["httpx.Response"], Any]

RETRIED = frozenset({408, 425, 429, 503})
CONFLICT, UNPROCESSABLE = 409, 422


def call(
    client: httpx.Client, method: str, url: str, *, header: str = HEADER, take: Take = "json", **request: Any
) -> Callable[[str], Any]:
    """A ``do=`` for ``run.effect`` that sends this request, the effect's key in ``header``.

    ``take`` is the result: "json" (None for an empty body), "text", "status", or a function of the
    response. ``request`` is what ``httpx.Client.request`` takes (json, content, headers, timeout, …).
    It raises EffectRefused, EffectNotSent, EffectUnknown, and ResultNotKept for a 2xx that ``take``
    cannot read.
    """

    def do(key: str) -> Any:
        try:
            response = client.request(method, url, **_with_key(request, header, key))
        except Exception as error:
            response = _failed(error, method, url)
        return outcome(response, take)

    return do


def acall(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    header: str = HEADER,
    take: Take = "json",
    **request: Any,
) -> Callable[[str], Awaitable[Any]]:
    """:func:`call` for ``run.aeffect`` and an ``AsyncClient``."""

    async def do(key: str) -> Any:
        try:
            response = await client.request(method, url, **_with_key(request, header, key))
        except Exception as error:
            response = _failed(error, method, url)
        return outcome(response, take)

    return do


def outcome(response: httpx.Response, take: Take = "json") -> Any:
    """The result of a response, or the error that says what it means for an effect."""
    status = response.status_code
    if 200 <= status < 300:
        return _taken(response, take)
    where = f"{response.request.method} {response.request.url.copy_with(query=None, fragment=None)}"
    said = f"{where} was answered {status} {response.reason_phrase}".rstrip()
    if status == CONFLICT:
        raise EffectUnknown(
            f"{said}: a call under this key is still under way there, or in conflict with what is there.",
            retry_after=retry_after_s(response),
        )
    if status == UNPROCESSABLE:
        raise EffectRefused(
            f"{said}{_body(response)}. If this is about the key, it is known there with another request."
        )
    if 400 <= status < 500 and status not in RETRIED:
        raise EffectRefused(f"{said}{_body(response)}.")
    raise EffectUnknown(f"{said}; whether it was applied is not known.", retry_after=retry_after_s(response))


def retry_after_s(response: httpx.Response) -> float | None:
    """The seconds that ``Retry-After`` asks for; a date in it counts from the answer's own ``Date``."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:12])
    try:
        until = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        now = time.time()
    return max(until - now, 0.0)


def _with_key(request: dict[str, Any], header: str, key: str) -> dict[str, Any]:
    import httpx

    headers = httpx.Headers(request.get("headers"))
    headers[header] = key
    # A redirect would be a second request, of which "not sent" says nothing about the first.
    return {**request, "headers": headers, "follow_redirects": False}


def _failed(error: Exception, method: str, url: str) -> httpx.Response:
    """The response in an error of the client's own hooks; raises what any other error means."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response
    where = f"{method} {str(url).partition('?')[0]}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        raise EffectNotSent(f"{where} was not sent: {_said(error)}.") from error
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        raise EffectNotSent(f"{where} cannot be sent: {_said(error)}.") from error
    if isinstance(error, httpx.HTTPError):
        raise EffectUnknown(f"{where} got no answer: {_said(error)}.") from error
    raise error


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip().rstrip(".")


def _taken(response: httpx.Response, take: Take) -> Any:
    try:
        if take == "json":
            return response.json() if response.content.strip() else None
        if take == "text":
            return response.text
        return response.status_code if take == "status" else take(response)
    except Exception as error:
        _not_kept(response, error)


def _not_kept(response: httpx.Response, error: Exception) -> NoReturn:
    raise ResultNotKept(
        f"The answer {response.status_code} cannot be read: {_said(error)}.",
        hint='Say what to take of it: take="text", or a function of the response.',
    ) from error


def _body(response: httpx.Response) -> str:
    text = " ".join(response.text.split())[:BODY_CHARS_MAX]
    return f": {text}" if text else ""
