"""NOTIFY and LISTEN: hints that spare a waiting worker its poll; nothing depends on them.

The notifier never works in a producer's transaction (NOTIFY takes one lock for the whole cluster
at commit), and coalesces: the first hint goes at once, further ones as one while that is under way.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

CHANNEL = "dutiful"
RECONNECT_S = 1.0
FLUSH_S = 0.5
APART_S = 0.005
"""Hints go that often at most; what is stored meanwhile is told of by the next."""


class Notifier:
    """Sends hints from a thread and a connection of its own."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._pending: set[str] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dutiful-notify", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def wake(self, queue: str) -> None:
        """Hint that ``queue`` has work; returns at once."""
        with self._changed:
            if queue not in self._pending:
                self._pending.add(queue)
                self._changed.notify()

    def close(self) -> None:
        """Send what is pending, for at most ``FLUSH_S`` seconds, and stop."""
        with self._changed:
            self._closing = True
            self._closed.set()
            self._changed.notify()
        self._thread.join(FLUSH_S)
        atexit.unregister(self.close)

    def _work(self) -> None:
        connection = None
        while True:
            with self._changed:
                while not self._pending and not self._closing:
                    self._changed.wait()
                if not self._pending:
                    break
                queues, self._pending = self._pending, set()
            try:
                if connection is None or connection.closed:
                    connection = self._connect()
                for queue in queues:
                    connection.execute("SELECT pg_notify($1, $2)", [CHANNEL, queue])
            except Exception:
                # A lost hint costs its reader one poll interval; nothing else.
                if connection is not None:
                    connection.close()
                connection = None
                if self._closing:
                    break
                time.sleep(RECONNECT_S)
            self._closed.wait(APART_S)
        if connection is not None:
            connection.close()


class Listener:
    """Waits for hints on a connection that is never in a transaction; one waiter at a time."""

    def __init__(self, connect: Callable[[], Any], *, listen: bool = True) -> None:
        self._connect = connect
        self._listen = listen
        self._connection: Any = None
        self._next_try = 0.0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._closed = False

    def wait(self, queues: frozenset[str], timeout_s: float) -> bool:
        """True if one of ``queues`` was hinted at (or the wait was interrupted) within the time."""
        until = time.monotonic() + timeout_s
        connection = self._connected()
        while not self._closed:
            if connection is not None and self._hinted(connection, queues):
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            sockets = [self._reader]
            if connection is not None and not connection.closed:
                sockets.append(connection.fileno())
            ready, _, _ = select.select(sockets, [], [], left)
            if self._reader in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._reader, 64)
                return True
        return True

    def interrupt(self) -> None:
        """End the wait, or the next one."""
        with contextlib.suppress(OSError):
            os.write(self._writer, b"x")

    def close(self) -> None:
        """Interrupt for good, and give the connection back."""
        self._closed = True
        self.interrupt()
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> Any:
        if not self._listen:
            return None
        if self._connection is None or self._connection.closed:
            if time.monotonic() < self._next_try:
                return None
            try:
                self._connection = self._connect()
                self._connection.execute(f"LISTEN {CHANNEL}")
            except Exception:
                self._next_try = time.monotonic() + RECONNECT_S
                self._connection = None
        return self._connection

    def _hinted(self, connection: Any, queues: frozenset[str]) -> bool:
        hinted = False
        try:
            connection.pgconn.consume_input()
            while (hint := connection.pgconn.notifies()) is not None:
                hinted |= hint.extra.decode() in queues
        except Exception:
            connection.close()
            return True
        return hinted
