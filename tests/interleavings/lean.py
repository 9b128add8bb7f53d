"""A work connection's own statements as steps: libpq's blocking calls would keep all sessions waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import generators

from dutiful.engines.lean import Lean, WorkConnection

Exchange = Callable[[str, Any], Any]
"""Carry out an exchange with the server that has been begun, as the step of this text."""


class SteppedLean(Lean):
    """The real one; what it sends is awaited by its session."""

    def __init__(self, connection: WorkConnection, exchange: Exchange) -> None:
        super().__init__(connection)
        self._pgconn: Any = _Sends(connection.pgconn, exchange)


class _Sends:
    """As much of libpq's connection as there is need for. What it is asked is sent, and then awaited."""

    def __init__(self, pgconn: Any, exchange: Exchange) -> None:
        self._pgconn = pgconn
        self._exchange = exchange
        self._texts: dict[bytes, bytes] = {}

    def prepare(self, name: bytes, text: bytes, types: Any) -> Any:
        """No step: it waits for nobody."""
        self._texts[name] = text
        return self._pgconn.prepare(name, text, types)

    def exec_(self, text: bytes) -> Any:
        return self._await(text, lambda: self._pgconn.send_query(text))

    def exec_params(self, text: bytes, *given: Any) -> Any:
        return self._await(text, lambda: self._pgconn.send_query_params(text, *given))

    def exec_prepared(self, name: bytes, *given: Any) -> Any:
        return self._await(self._texts[name], lambda: self._pgconn.send_query_prepared(name, *given))

    def _await(self, text: bytes, send: Callable[[], None]) -> Any:
        def exchange() -> Any:
            send()  # when it is this session's turn
            return (yield from generators.execute(self._pgconn))

        return self._exchange(text.decode(), exchange())[-1]
