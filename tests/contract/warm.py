"""Sessions of PostgreSQL that stay open from test to test, for looks at a database that all of them share.

A new session reads what there is to know of a hundred tables, and plans each statement anew: for the checker
that is nine tenths of its work (68 ms against 6 ms), for emptying all tables seven eighths. What is looked
at is the same. Nothing stays in such a session but what it knows: it commits each statement, and is reset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import psycopg

from dutiful.engines.urls import open_engine
from dutiful.operations import verify

_kept: dict[str, psycopg.Connection | None] = {}
_engines: dict[str, Any] = {}


def keep(url: str) -> None:
    """From now on this database has such sessions, until :func:`forget`."""
    _kept.setdefault(url, None)


def knows(url: str) -> bool:
    return url in _kept


def connection(url: str) -> psycopg.Connection:
    """The one that stays, or a new one if a test sent it away; each statement commits by itself."""
    held = _kept[url]
    if held is not None:
        try:
            held.execute("DISCARD TEMP; RESET ALL; UNLISTEN *; CLOSE ALL")
            return held
        except psycopg.Error:
            held.close()
    held = _kept[url] = psycopg.connect(url, autocommit=True)
    return held


def check(url: str, app: str | None, clock: Callable[[], int] | None) -> list[verify.Finding]:
    """All rows, as ``dutiful verify --full`` looks at them, by this clock (None: the server's)."""
    if url not in _kept:
        engine = open_engine(url)
        engine.clock = clock
        try:
            return cast("list[verify.Finding]", engine.run(verify.check(app, full=True)))
        finally:
            engine.close()
    if url not in _engines:
        _engines[url] = open_engine(url)
    engine = _engines[url]
    engine.clock = clock
    return cast("list[verify.Finding]", engine.run(verify.check(app, full=True)))


def forget(url: str) -> None:
    """Its sessions end."""
    held, engine = _kept.pop(url, None), _engines.pop(url, None)
    if held is not None:
        held.close()
    if engine is not None:
        engine.close()
