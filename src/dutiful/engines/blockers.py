"""Who holds the row that somebody waited for in vain, on PostgreSQL: asked afterwards, on a new connection.

The server says which row it was ("while locking tuple (0,7) in relation …"); whose transaction wrote or
locked that row stands in it, and whose session that is, in ``pg_locks``. Where that leads nowhere (the row's
holders share it, or it is an index entry that is not committed), those are named who could be it. This only
words an error: it never raises, and takes at most a few seconds.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

TIMEOUT_S = 2
SHOWN_MAX = 3
_WHERE = re.compile(r"\((\d+),(\d+)\).*?[\"»„«](.+)[\"«“»]")
"""In any of the server's languages: the row's place, then the relation in quotation marks."""

_SAYS = """
SELECT a.pid, a.application_name, coalesce(a.state, ''),
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
       extract(epoch FROM clock_timestamp() - a.query_start)::float8, left(a.query, 200)
  FROM pg_catalog.pg_stat_activity AS a"""

_TABLES = """
SELECT DISTINCT coalesce(i.indrelid, c.oid)::bigint, coalesce(i.indrelid, c.oid)::regclass::text
  FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
 WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'i', 'I')"""

_BY_XID = f"""{_SAYS} JOIN pg_catalog.pg_locks AS l ON l.pid = a.pid
 WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid::text = %s AND a.pid <> ALL (%s)"""

_BY_TABLE = f"""{_SAYS}
 WHERE a.pid <> ALL (%s) AND a.xact_start IS NOT NULL AND a.wait_event_type IS DISTINCT FROM 'Lock'
   AND a.pid IN (
       SELECT l.pid FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_database AS d ON d.oid = l.database
        WHERE l.locktype = 'relation' AND l.granted AND d.datname = current_database()
          AND l.relation::bigint = ANY (%s) AND l.mode NOT IN ('AccessShareLock', 'SIReadLock'))
 ORDER BY a.xact_start LIMIT {SHOWN_MAX + 1}"""


class Blocker(Struct, frozen=True):
    """A session. Ages are seconds; ``query`` is what it runs, or ran last."""

    pid: int
    application: str
    state: str
    transaction_age_s: float | None
    query_age_s: float | None
    query: str

    def __str__(self) -> str:
        open_s = self.transaction_age_s
        age = "" if open_s is None else f", its transaction open for {open_s:.1f} s"
        ran = "" if self.query_age_s is None else f", {self.query_age_s:.1f} s ago"
        name = f" ({self.application})" if self.application else ""
        return f"pid {self.pid}{name}{age}, {self.state}; its query{ran}: {' '.join(self.query.split())}"


def sentence(error: BaseException, conninfo: str, *own: int) -> str | None:
    """Names who held what the error waited for; None if it waited for no row, or nobody can be found.

    ``own`` are the sessions that waited. ``error`` is psycopg's (or psycopg2's) for SQL state 55P03.
    """
    try:
        sure, found = _found(error, conninfo, list(own))
    except Exception:  # no answer is no reason to hide the error itself
        return None
    if not found:
        return None
    shown = "; ".join(map(str, found[:SHOWN_MAX]))
    more = " and others" if len(found) > SHOWN_MAX else ""
    return f"It is held by {shown}" if sure else f"It may be held by {shown}{more}"


def _found(error: BaseException, conninfo: str, own: list[int]) -> tuple[bool, list[Blocker]]:
    import psycopg

    where = _WHERE.search(getattr(getattr(error, "diag", None), "context", None) or "")
    if where is None:
        return False, []
    place, relation = f"({where[1]},{where[2]})", where[3]
    options = f"-c statement_timeout={TIMEOUT_S}s -c lock_timeout={TIMEOUT_S}s"
    settings: dict[str, Any] = {"connect_timeout": TIMEOUT_S, "options": options, "autocommit": True}
    with psycopg.connect(conninfo, **settings) as connection:
        tables = connection.execute(_TABLES, [relation]).fetchall()
        for _, name in tables:
            try:
                # regclass has quoted the name as far as that is needed.
                asked: Any = f"SELECT xmax::text FROM {name} WHERE ctid = %s::tid"
                row = connection.execute(asked, [place]).fetchone()
            except psycopg.Error:  # no right to read it
                continue
            if row is not None and (found := connection.execute(_BY_XID, [row[0], own]).fetchall()):
                return True, [Blocker(*one) for one in found]
        found = connection.execute(_BY_TABLE, [own, [oid for oid, _ in tables]]).fetchall()
        return len(found) == 1, [Blocker(*one) for one in found]


def lock_error(error: BaseException) -> BaseException | None:
    """The driver's error for SQL state 55P03, in an error or in what it wraps."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        state = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if state == "55P03" and getattr(one, "diag", None) is not None:
            return one
        todo += [getattr(one, "orig", None), one.__cause__, one.__context__]
    return None


def note(error: BaseException, conninfo: str, *own: int) -> None:
    """Add who it was to an error of a lock that was waited for, as a note; its kind stays what it is."""
    cause = lock_error(error)
    if cause is not None and not getattr(error, "__notes__", None):
        said = sentence(cause, conninfo, *own)
        if said is not None:
            error.add_note(said)


def whose_key(error: BaseException, connection: Any) -> str | None:
    """:func:`sentence` for a caller's own connection of psycopg's; None for others, and on SQLite.

    Asked on another connection with the same parameters, as the caller's transaction is its own.
    """
    cause = lock_error(error)
    info: Any = getattr(connection, "info", None)
    if cause is None or not hasattr(info, "dsn") or not hasattr(info, "backend_pid"):
        return None
    try:
        import psycopg

        conninfo = psycopg.conninfo.make_conninfo(info.dsn, password=info.password or None)
        return sentence(cause, conninfo, info.backend_pid)
    except Exception:
        return None
