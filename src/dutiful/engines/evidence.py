"""Reading a user's own query from a database, row by row: constant memory, and no writing.

``:since`` and ``:until`` in the text are instants: on PostgreSQL with their zone (``timestamptz``), on SQLite
text as its ``datetime()`` writes it, in UTC. The session's zone is UTC: so are columns without one read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from ..model.errors import InvalidReconcile, StoreReadOnly
from ..sql import pieces
from ..sql.render import render
from .contract import Engine
from .sqlite_drivers import driver as find_driver

NAMES = ("since", "until")
PIECE = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HORIZON = """
SELECT (extract(epoch FROM min(began)) * 1000000)::bigint FROM (
    SELECT xact_start AS began FROM pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL
    UNION ALL SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()) AS open
"""
"""When the oldest transaction began that may still commit rows; of other roles only if that may be seen."""

PLACE = "SELECT pg_postmaster_start_time()::text || ' ' || current_database(), pg_is_in_recovery()"
"""Another server, or the same one started anew, has another start."""


class Evidence(Protocol):
    """One database to read from; used by one thread, and closed at the end."""

    def rows(self, text: str, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
        """What the query yields, by column."""
        ...

    def statement(self, name: str, params: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """One of our own statements that read."""
        ...

    def place(self) -> str:
        """What says that this is the same database as before; raises StoreReadOnly on a standby."""
        ...

    def horizon_us(self) -> int | None:
        """Before this no transaction began that is still under way; None: there is none."""
        ...

    def close(self) -> None: ...


def checked(text: str, what: str) -> None:
    """Raises InvalidReconcile for a parameter that nobody gives."""
    for _, name in pieces(text):
        if name is not None and name not in NAMES:
            raise InvalidReconcile(
                f"{what} has a parameter :{name}; there are :since and :until.",
                hint="A colon that is none of ours stands inside quotes.",
            )


def open_evidence(engine: Engine) -> Evidence:
    """A connection of its own to the database of an engine (in memory: its own one)."""
    if engine.name == "postgres":
        return PostgresEvidence(engine)
    return MemoryEvidence(engine) if getattr(engine, "memory", False) else SqliteEvidence(engine)


def instant(at_us: int) -> datetime:
    """As a datetime in UTC; what lies outside its years is at their end."""
    try:
        return _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if at_us > 0 else datetime.min.replace(tzinfo=UTC)


class PostgresEvidence:
    """By a cursor of the server's."""

    def __init__(self, engine: Any) -> None:
        import psycopg

        info = psycopg.conninfo.conninfo_to_dict(engine.conninfo)
        theirs = info.pop("options", None) or ""
        ours = f"{theirs} -c timezone=UTC -c default_transaction_read_only=on".strip()
        options = {} if engine.pooler else {"options": ours}
        merged = psycopg.conninfo.make_conninfo(**{**info, **options})  # type: ignore[arg-type]
        try:
            self._connection = psycopg.connect(merged, autocommit=True)
        except psycopg.Error as error:
            from .postgres_errors import translated

            raise translated(error, engine.shown, connecting=True) from error
        self._shown = engine.shown

    def rows(self, text: str, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
        """See :class:`Evidence`."""
        given = {"since": instant(since_us), "until": instant(until_us)}
        asked = "".join(
            literal.replace("%", "%%") + ("" if name is None else f"%({name})s")
            for literal, name in pieces(text)
        )
        with self._connection.transaction(), self._connection.cursor(name="dutiful_evidence") as cursor:
            cursor.itersize = PIECE
            cursor.execute(asked.encode(), given)
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def statement(self, name: str, params: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """See :class:`Evidence`."""
        text, _ = render("postgres", name, "pyformat").parts[0]
        return self._connection.execute(text.encode(), params).fetchall()

    def place(self) -> str:
        """See :class:`Evidence`."""
        [(place, standby)] = self._connection.execute(PLACE.encode()).fetchall()
        if standby:
            raise StoreReadOnly(
                f"{self._shown} is a standby, which lags behind: evidence is read on the primary."
            )
        return str(place)

    def horizon_us(self) -> int | None:
        """See :class:`Evidence`."""
        [(at,)] = self._connection.execute(HORIZON.encode()).fetchall()
        return None if at is None else int(at)

    def close(self) -> None:
        """See :class:`Evidence`."""
        self._connection.close()


class SqliteEvidence:
    """By a connection that was opened with ``mode=ro``, through the library that the engine uses."""

    def __init__(self, engine: Any) -> None:
        from .builds import claim_file

        self._driver = find_driver(
            "apsw" if "driver=apsw" in engine.url.partition("?")[2].split("&") else "sqlite3"
        )
        self._path: str = engine.path
        claim_file(self._path, self._driver.name)
        try:
            self._connection = self._driver.connect(self._path, timeout_s=5, read_only=True)
            self._raw = self._connection.raw
        except Exception as error:
            self._release()
            raise self._driver.translate(error, self._path) from error

    def rows(self, text: str, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
        """See :class:`Evidence`."""
        yield from _read(self._raw, text, since_us, until_us)

    def statement(self, name: str, params: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """See :class:`Evidence`."""
        text, _ = render("sqlite", name, "named").parts[0]
        return self._connection.execute(text, params)

    def place(self) -> str:
        """See :class:`Evidence`; a file that was put in its place has another number."""
        found = os.stat(self._path)
        return f"{found.st_dev}:{found.st_ino}"

    def horizon_us(self) -> int | None:
        """See :class:`Evidence`: there is one writer, and what it commits next is due by its own clock."""
        return None

    def close(self) -> None:
        """See :class:`Evidence`."""
        self._connection.close()
        self._release()

    def _release(self) -> None:
        from .builds import release_file

        release_file(self._path, self._driver.name)


class MemoryEvidence:
    """A store in memory has one connection, which is the engine's; what it holds is in memory anyway."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def rows(self, text: str, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
        """See :class:`Evidence`."""
        with self._engine.working(False) as work:
            found = list(_read(work.raw, text, since_us, until_us))
        yield from found

    def statement(self, name: str, params: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """See :class:`Evidence`."""
        text, _ = render("sqlite", name, "named").parts[0]
        with self._engine.working(False) as work:
            return list(work.raw.execute(text, params))

    def place(self) -> str:
        """See :class:`Evidence`: it is gone with its process."""
        return "memory"

    def horizon_us(self) -> int | None:
        """See :class:`Evidence`."""
        return None

    def close(self) -> None:
        """The connection is the engine's."""


def _read(raw: Any, text: str, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
    given = {
        name: instant(at).strftime("%Y-%m-%d %H:%M:%S")
        for name, at in (("since", since_us), ("until", until_us))
    }
    used = {name for _, name in pieces(text) if name is not None}
    cursor = raw.cursor()
    names: list[str] | None = None
    for row in cursor.execute(text, {name: given[name] for name in used}):
        if names is None:
            names = [column[0] for column in cursor.description]
        yield dict(zip(names, row, strict=True))
