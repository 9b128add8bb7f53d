"""HTTP as an effect: the key is sent, and every outcome means what it must."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from dutiful import testing
from dutiful.effects import http
from dutiful.model.errors import EffectNotSent, EffectRefused, EffectUnknown, ResultNotKept
from dutiful.model.retry import Again, Retry, judge

URL = "https://pay.test/charges?secret=1"
SECOND = 1_000_000


def answering(response: httpx.Response | Exception, **options: Any) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(_handler(response, [])), **options)


def _handler(
    response: httpx.Response | Exception, seen: list[httpx.Request]
) -> Callable[[httpx.Request], Any]:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(response, Exception):
            raise response
        return response

    return handle


def called(
    twin: str, response: httpx.Response | Exception, seen: list[Any] | None = None, **given: Any
) -> Any:
    """The same through both twins: as a body would call, with a key of its own."""
    transport = httpx.MockTransport(_handler(response, seen if seen is not None else []))
    run = testing.run()
    if twin == "call":
        with httpx.Client(transport=transport) as client:
            return run.effect("pay", do=http.call(client, "POST", URL, **given))

    async def acalled() -> Any:
        async with httpx.AsyncClient(transport=transport) as client:
            return await run.aeffect("pay", do=http.acall(client, "POST", URL, **given))

    return asyncio.run(acalled())


twins = pytest.mark.parametrize("twin", ["call", "acall"])


@twins
def test_the_key_is_sent_and_the_rest_as_it_was_given(twin: str) -> None:
    seen: list[httpx.Request] = []
    given = {"json": {"amount": 10}, "headers": {"X-Shop": "a", "idempotency-key": "mine"}, "timeout": 3}
    assert called(twin, httpx.Response(200, json={"id": "ch_1"}), seen, **given) == {"id": "ch_1"}
    [request] = seen
    assert request.headers.get_list("Idempotency-Key") == [request.headers["Idempotency-Key"]]
    assert len(request.headers["Idempotency-Key"]) == 32
    assert (request.method, request.headers["X-Shop"]) == ("POST", "a")
    assert request.content == b'{"amount":10}'
    assert request.extensions["timeout"]["read"] == 3


def test_the_key_is_the_effects_and_the_header_may_be_another() -> None:
    seen: list[httpx.Request] = []
    run = testing.run(task="pay", duty_key="order:7")
    client = httpx.Client(transport=httpx.MockTransport(_handler(httpx.Response(204), seen)))
    assert run.effect("pay", do=http.call(client, "PUT", URL, header="X-Key")) is None
    assert seen[0].headers["X-Key"] == run.key("pay")
    assert "Idempotency-Key" not in seen[0].headers


@twins
@pytest.mark.parametrize(
    ("response", "take", "wanted"),
    [
        ((200, {"json": [1]}), "json", [1]),
        ((202, {}), "json", None),
        ((204, {}), "json", None),
        ((201, {"text": "ok"}), "text", "ok"),
        ((299, {"text": "x"}), "status", 299),
        ((200, {"headers": {"X-Id": "7"}}), lambda response: response.headers["X-Id"], "7"),
    ],
)
def test_what_is_taken_of_an_answer(twin: str, response: Any, take: Any, wanted: Any) -> None:
    status, fields = response
    assert called(twin, httpx.Response(status, **fields), take=take) == wanted


@twins
@pytest.mark.parametrize("take", ["json", lambda response: response.headers["X-Id"]])
def test_an_answer_that_cannot_be_read_is_done_all_the_same(twin: str, take: Any) -> None:
    with pytest.raises(ResultNotKept):
        called(twin, httpx.Response(200, text="<html>"), take=take)


REFUSED = [400, 401, 402, 403, 404, 405, 406, 410, 412, 413, 415, 418, 422, 428, 431, 451, 499]
UNKNOWN = [301, 302, 303, 304, 307, 308, 408, 409, 425, 429, 500, 501, 502, 503, 504, 507, 511, 599]


@twins
@pytest.mark.parametrize("status", REFUSED)
def test_what_is_refused(twin: str, status: int) -> None:
    with pytest.raises(EffectRefused, match=f"POST https://pay.test/charges was answered {status}") as raised:
        called(twin, httpx.Response(status, text="card\n  declined " + "x" * 500))
    assert not isinstance(raised.value, EffectNotSent)
    assert "card declined" in str(raised.value) and "secret" not in str(raised.value)
    assert len(str(raised.value)) < 420


@twins
@pytest.mark.parametrize("status", UNKNOWN)
def test_what_is_unknown(twin: str, status: int) -> None:
    with pytest.raises(EffectUnknown, match=f"answered {status}") as raised:
        called(twin, httpx.Response(status))
    assert "secret" not in str(raised.value)


def test_conflicts_of_keys_are_named_as_such() -> None:
    with pytest.raises(EffectUnknown, match="under this key is still under way"):
        called("call", httpx.Response(409))
    with pytest.raises(EffectRefused, match="known there with another request"):
        called("call", httpx.Response(422))


@pytest.mark.parametrize("status", [301, 303, 307])
def test_redirects_are_not_followed(status: int) -> None:
    """A second request would be one of which nobody could say what the first did."""
    seen: list[httpx.Request] = []
    response = httpx.Response(status, headers={"Location": "https://elsewhere.test/"})
    client = httpx.Client(transport=httpx.MockTransport(_handler(response, seen)), follow_redirects=True)
    with pytest.raises(EffectUnknown):
        http.call(client, "POST", URL)("key")
    assert len(seen) == 1


@twins
@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no route"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
)
def test_what_was_not_sent(twin: str, error: Exception) -> None:
    with pytest.raises(EffectNotSent, match="was not sent") as raised:
        called(twin, error)
    assert raised.value.__cause__ is error and "secret" not in str(raised.value)


@twins
@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("x"),
        httpx.WriteTimeout("x"),
        httpx.ReadError("reset"),
        httpx.WriteError("pipe"),
        httpx.CloseError("x"),
        httpx.ProxyError("x"),
        httpx.RemoteProtocolError("closed"),
        httpx.DecodingError("gzip"),
        httpx.TooManyRedirects("x"),
    ],
)
def test_what_may_have_been_sent(twin: str, error: Exception) -> None:
    with pytest.raises(EffectUnknown, match="got no answer"):
        called(twin, error)


@pytest.mark.parametrize("url", ["ftp://x.test/", "http://x:bad/", "no-scheme/"])
def test_what_cannot_be_sent(url: str) -> None:
    with httpx.Client() as client, pytest.raises(EffectNotSent, match="cannot be sent"):
        http.call(client, "POST", url)("key")


def test_a_clients_own_hook_is_classified_by_its_response() -> None:
    client = answering(httpx.Response(402), event_hooks={"response": [httpx.Response.raise_for_status]})
    with pytest.raises(EffectRefused, match="402"):
        http.call(client, "POST", URL)("key")


def test_an_error_of_somebody_elses_goes_on_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        http.call(answering(ZeroDivisionError()), "POST", URL)("key")


# ── Retry-After ─────────────────────────────────────────────────────────────────────────────

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": format_datetime(NOW + timedelta(hours=1)), "Date": format_datetime(NOW)}, 3600),
        ({"Retry-After": format_datetime(NOW - timedelta(hours=1)), "Date": format_datetime(NOW)}, 0),
        ({"Retry-After": format_datetime(NOW), "Date": "rubbish"}, 0),
    ],
)
def test_retry_after(headers: dict[str, str], wanted: float | None) -> None:
    response = httpx.Response(429, headers={name: value.encode() for name, value in headers.items()})
    assert http.retry_after_s(response) == wanted


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_retry_after_is_honoured_by_the_next_try(status: int) -> None:
    with pytest.raises(EffectUnknown) as raised:
        called("call", httpx.Response(status, headers={"Retry-After": "3600"}))
    verdict = judge(raised.value, attempt=1, retry=Retry(8), chance=0.0)
    assert verdict == Again(3600 * SECOND, True, raised.value)


# ── real sockets ────────────────────────────────────────────────────────────────────────────


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serves one connection so, on loopback."""
    listening = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            serve(connection)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        listening.close()
        thread.join(5)


def test_a_refused_connection_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with httpx.Client() as client, pytest.raises(EffectNotSent):
        http.call(client, "POST", f"http://127.0.0.1:{port}/")("key")


def test_a_connection_that_is_closed_without_an_answer_is_unknown() -> None:
    with server(lambda connection: connection.recv(65_536)) as url, httpx.Client() as client:
        with pytest.raises(EffectUnknown):
            http.call(client, "POST", url)("key")


def test_a_reset_is_unknown() -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with server(reset) as url, httpx.Client() as client, pytest.raises(EffectUnknown):
        http.call(client, "POST", url)("key")


def test_no_answer_in_time_is_unknown() -> None:
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.recv(65_536)
        over.wait(30)

    with server(silent) as url, httpx.Client() as client:
        with pytest.raises(EffectUnknown, match="ReadTimeout"):
            http.call(client, "POST", url, timeout=0.05)("key")
        over.set()


def test_a_full_pool_is_not_sent() -> None:
    begun, over = threading.Event(), threading.Event()
    requests: list[bytes] = []

    def one_only(connection: socket.socket) -> None:
        requests.append(connection.recv(65_536))
        begun.set()
        over.wait(30)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    limits = httpx.Limits(max_connections=1)
    with server(one_only) as url, httpx.Client(limits=limits) as client:
        first = threading.Thread(target=http.call(client, "POST", url, timeout=30), args=("key",))
        first.start()
        assert begun.wait(30)
        with pytest.raises(EffectNotSent, match="PoolTimeout"):
            http.call(client, "POST", url, timeout=httpx.Timeout(30, pool=0.05))("other")
        over.set()
        first.join()
    assert len(requests) == 1 and b"other" not in requests[0]
