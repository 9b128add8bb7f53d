"""From a URL to an engine: ``sqlite:///jobs.db``, ``sqlite:////absolute/jobs.db``, ``postgresql://…``."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from ..model import errors
from .contract import Clock, Engine
from .postgres_errors import masked

SQLITE_OPTIONS = {"driver", "synchronous", "timeout"}


def open_engine(url: str, *, clock: Clock | None = None) -> Engine:
    """The engine for ``url``; no connection is made yet.

    SQLite: ``?driver=apsw`` (default sqlite3), ``?synchronous=full`` (default normal, which may lose
    the last commits at a power loss, never at a crash of the process), ``?timeout=5`` seconds that a
    write waits for another writer. PostgreSQL: every option of libpq, and ``?pooler=transaction`` for
    PgBouncer in transaction mode. Raises InvalidUrl or DriverMissing.
    """
    if not isinstance(url, str):
        raise errors.InvalidUrl(f"A store URL is text, not {type(url).__name__}.")
    scheme, found, rest = url.partition("://")
    if not found:
        raise errors.InvalidUrl(f"{masked(url)!r} is no URL of a store: it has no scheme.")
    if scheme == "sqlite":
        return _sqlite(url, rest, clock)
    if scheme in ("postgresql", "postgres"):
        from .postgres import PostgresEngine

        return PostgresEngine(url, clock=clock)
    if scheme.startswith(("postgresql+", "sqlite+")):
        plain = scheme.partition("+")[0]
        raise errors.InvalidUrl(
            f"{masked(url)!r} names a driver in SQLAlchemy's way.",
            hint=f'Write "{plain}://…" without "+driver".',
        )
    raise errors.InvalidUrl(f"{scheme!r} is no kind of store known here.")


def _sqlite(url: str, rest: str, clock: Clock | None) -> Engine:
    from .sqlite import SqliteEngine

    parts = urlsplit(f"x://{rest}")
    if parts.netloc not in ("", "localhost"):
        raise errors.InvalidUrl(
            f"{url!r} has {parts.netloc!r} where a host would stand.",
            hint=f'Three slashes for a relative path: "sqlite:///{parts.netloc}{parts.path}".',
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - SQLITE_OPTIONS):
        raise errors.InvalidUrl(
            f"{url!r} has the option {unknown[0]!r}, which SQLite stores do not have.",
            hint=f"Options: {', '.join(sorted(SQLITE_OPTIONS))}.",
        )
    driver_name = options.get("driver", "sqlite3")
    if driver_name not in ("sqlite3", "apsw"):
        raise errors.InvalidUrl(f"{url!r}: driver is sqlite3 or apsw, not {driver_name!r}.")
    synchronous = options.get("synchronous", "normal").lower()
    if synchronous not in ("normal", "full"):
        raise errors.InvalidUrl(f"{url!r}: synchronous is normal or full, not {synchronous!r}.")
    try:
        timeout_s = float(options.get("timeout", "5"))
    except ValueError:
        raise errors.InvalidUrl(
            f"{url!r}: timeout is a number of seconds, not {options['timeout']!r}."
        ) from None
    path = unquote(parts.path[1:])
    return SqliteEngine(
        path if path and path != ":memory:" else ":memory:",
        driver=driver_name,  # type: ignore[arg-type]
        synchronous=synchronous,
        timeout_s=timeout_s,
        clock=clock,
        url=url,
    )
