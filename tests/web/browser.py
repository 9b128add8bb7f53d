"""A real browser and a real server for the page's tests: one of each for all, and no fault goes unseen."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Serving:
    """An ASGI app on a port of loopback, in a thread of this process."""

    def __init__(self, asgi: Any, port: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(asgi, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Serving:
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(10)
        self.socket.close()


@dataclass
class Watched:
    """A tab, and every fault in it: console errors, exceptions, policy reports, answers of 5xx."""

    page: Any
    address: str
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(one in message.text for one in self.expected):
            self.faults.append(f"{message.type}: {message.text}")

    def _response(self, response: Any) -> None:
        if response.status >= 500 and not self.expected:
            self.faults.append(f"{response.status}: {response.url}")

    def go(self, path: str) -> Any:
        return self.page.goto(self.address + path)

    def foreign(self) -> list[str]:
        """Requests that went elsewhere."""
        own = (self.address, "data:", "blob:", "about:")
        return [url for url in self.requests if not url.startswith(own)]


@contextmanager
def tab(browser: Any, address: str, **settings: Any) -> Iterator[Watched]:
    """A tab in a window of its own; ends with no fault, or fails."""
    context = browser.new_context(**settings)
    context.set_default_timeout(45_000)
    watched = Watched(context.new_page(), address)
    try:
        yield watched
    finally:
        context.close()
    assert watched.faults == [], watched.faults
    assert watched.foreign() == [], watched.foreign()


def live(watched: Watched) -> None:
    """Wait until the page hears the server."""
    watched.page.wait_for_selector("#asof.on")
    until(watched, "document.querySelector('#live').textContent === 'live'")


def until(watched: Watched, truth: str, seconds: float = 20) -> None:
    """Ask until it is true (the page's own policy forbids the browser to evaluate it by itself)."""
    deadline = time.monotonic() + seconds
    while not watched.page.evaluate(truth):
        assert time.monotonic() < deadline, f"it did not come true: {truth}"
        watched.page.wait_for_timeout(100)
