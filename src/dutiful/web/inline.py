"""One request to the page from a thread that has no event loop: the whole answer as bytes.

For WSGI and Django's views. The answer is collected whole, whatever messages it comes in; streams
are not for these, and the page is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from starlette.types import ASGIApp, Message

from .answers import INLINE, WHO


class Got(Struct, frozen=True):
    """An answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def call(
    app: ASGIApp,
    *,
    method: str,
    root: str,
    path: str,
    query: bytes,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    scheme: str,
    client: str,
    extra: Mapping[str, Any],
) -> Got:
    """Ask the page. ``path`` is the whole one, decoded, with ``root`` at its beginning.

    ``extra`` may carry who it is (:data:`~dutiful.web.answers.WHO`). On a thread that runs an event loop it
    is done on another one.
    """
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "root_path": root,
        "query_string": query,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": (client, 0) if client else None,
        "server": None,
        INLINE: True,
        **extra,
    }
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_collect(app, scope, body))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as one:
        return one.submit(lambda: asyncio.run(_collect(app, scope, body))).result()


async def _collect(app: ASGIApp, scope: dict[str, Any], body: bytes) -> Got:
    sent = [{"type": "http.request", "body": body, "more_body": False}]
    status, headers, parts = 500, [], []

    async def receive() -> Message:
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            ]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Got(status, headers, b"".join(parts))


__all__ = ["WHO", "Got", "call"]
