"""Sessions of PostgreSQL that stay open from test to test, for looks at a database that all of them share.

A new session reads what there is to know of a hundred tables, and plans each statement anew: for the checker
that is nine tenths of its work (68 ms against 6 ms), for emptying all tables seven eighths. What is looked
at is the same. Nothing stays in such a session but what it knows: it commits each statement, and is reset.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg

from dutiful.engines.contract import Engine
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.urls import open_engine
from dutiful.operations import verify

_kept: dict[str, psycopg.Connection | None] = {}
_engines: dict[str, Any] = {}
_working: dict[str, PostgresEngine] = {}

RESET = "DISCARD TEMP; RESET ALL; UNLISTEN *; CLOSE ALL"
SESSIONS_MAX = 2
"""Of an engine that goes on to the next test; a test that needed more was about crowds."""


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
            held.execute(RESET)
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


@contextmanager
def lent(url: str) -> Iterator[Engine]:
    """An engine with its tables made; over such a database the one of the test before, if it is as new."""
    engine = _working.pop(url, None) or open_engine(url)
    if not isinstance(engine, PostgresEngine) or url not in _kept:
        try:
            engine.migrate()
            yield engine
        finally:
            engine.close()
        return
    fit = False
    try:
        if not engine._checked:
            engine.migrate()
        yield engine
        fit = _fit(engine)
    finally:
        engine.clock = engine.observe = None
        if fit and url not in _working:
            _working[url] = engine
        else:
            engine.close()


def _fit(engine: PostgresEngine) -> bool:
    """Whether it has nothing but a session or two, at rest; then those are as new."""
    others = (engine._listener, engine._notifier, engine._work_pools)
    pool = engine._pool
    if pool is None or not engine._checked or engine._pid != os.getpid() or others != (None, None, None):
        return False
    if set(vars(engine)) != set(vars(PostgresEngine(engine.url))):
        return False  # a test put something in its place
    number = pool.get_stats()["pool_size"]
    if not 1 <= number <= SESSIONS_MAX:
        return False
    sessions = []
    try:
        for _ in range(number):
            sessions.append(pool.getconn(timeout=0.5))
            sessions[-1].execute(RESET, prepare=False)
    except psycopg.Error:
        return False
    finally:
        for session in sessions:
            pool.putconn(session)
    return True


def forget(url: str) -> None:
    """Its sessions end."""
    for engine in (_working.pop(url, None), _engines.pop(url, None)):
        if engine is not None:
            engine.close()
    held = _kept.pop(url, None)
    if held is not None:
        held.close()
