"""Scratch databases: one template with the fixture in it, and a fresh copy of that for each scenario."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..app.app import App
from ..engines.urls import open_engine
from .shim_apsw import apsw_shim, plain
from .shim_sqlalchemy import sqlalchemy_shim
from .shim_sqlite import _connect, is_current, path_of, sqlite_shim
from .states import Table

Fixture = Callable[[Any], None] | str | os.PathLike[str] | None
"""SQL text, a file of it, or a function that is given a connection; None: only dutiful's tables."""


class World(Protocol):
    """The copy of one scenario."""

    url: str

    def tables(self) -> dict[str, Table]: ...

    def jobs(self, without: str) -> Counter[str]: ...

    def write(self, sql: str, params: tuple[Any, ...]) -> None: ...

    def waits(self) -> bool:
        """Whether a session waits for a lock of another's."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """What makes worlds."""

    mark: str
    shimmed: str
    """The driver that has a shim here, and elsewhere has none; "" for none."""

    def make(self) -> World: ...

    def rest(self) -> None:
        """Wait until nothing is being made: a child is to be forked."""
        ...

    def shims(self, world: Callable[[], World]) -> ExitStack: ...

    def close(self) -> None: ...


def sql_of(fixture: Fixture) -> str | None:
    """The fixture's SQL, if it is SQL."""
    if fixture is None or callable(fixture):
        return None
    text = os.fspath(fixture)
    looks_like_path = "\n" not in text and ";" not in text and text.lower().endswith(".sql")
    return Path(text).read_text("utf-8") if looks_like_path else text


def store_for(app: App, fixture: Fixture) -> Store:
    """Scratch databases of the kind of the app's; nothing in the app's own is read or written."""
    if urlsplit(app.url).scheme == "sqlite":
        return SqliteStore(app, fixture)
    from .stores_postgres import PostgresStore

    return PostgresStore(app, fixture)


class SqliteStore:
    """Copies of a file, in a folder of the drill's own (in memory where the system has such a place)."""

    mark = "?"

    def __init__(self, app: App, fixture: Fixture) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="dutiful-drill-", dir=memory if memory.is_dir() else None))
        self._query = urlsplit(app.url).query
        self.apsw = "driver=apsw" in self._query.split("&")
        self.shimmed = "apsw" if self.apsw else ""
        self.source = getattr(app.engine, "path", ":memory:")
        self._number = 0
        self._template = self.folder / "template.db"
        engine = open_engine(f"sqlite:///{self._template}")
        engine.migrate()
        engine.close()
        with contextlib.closing(_connect(self._template)) as connection:
            if callable(fixture):
                fixture(connection)
            elif (sql := sql_of(fixture)) is not None:
                connection.executescript(sql)
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def make(self) -> SqliteWorld:
        """See :class:`Store`."""
        self._number += 1
        path = self.folder / f"{self._number}.db"
        shutil.copyfile(self._template, path)
        query = f"?{self._query}" if self._query else ""
        return SqliteWorld(path, f"sqlite:///{path}{query}", apsw=self.apsw)

    def rest(self) -> None:
        """See :class:`Store`."""

    def shims(self, world: Callable[[], World]) -> ExitStack:
        """See :class:`Store`."""

        def place(path: str) -> str | None:
            if path == self.source:
                return path_of(urlsplit(world().url).path[1:])
            return path if path.startswith(str(self.folder)) else None

        def current(connection: Any) -> bool:
            return is_current(connection, path_of(urlsplit(world().url).path[1:]))

        stack = ExitStack()
        stack.enter_context(sqlite_shim(place))
        if self.apsw:
            stack.enter_context(apsw_shim(place))
        stack.enter_context(sqlalchemy_shim(current))
        return stack

    def close(self) -> None:
        """See :class:`Store`."""
        shutil.rmtree(self.folder, ignore_errors=True)


class SqliteWorld:
    """One copy."""

    def __init__(self, path: Path, url: str, *, apsw: bool = False) -> None:
        self.path, self.url, self._apsw = path, url, apsw

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        if self._apsw:  # one library for one file
            with contextlib.closing(plain(str(self.path))) as other:
                yield other
            return
        with contextlib.closing(_connect(self.path, timeout=0.2, isolation_level=None)) as connection:
            yield connection

    def tables(self) -> dict[str, Table]:
        """See :class:`World`."""
        with self._open() as connection:
            names = [
                row[0]
                for row in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
                )
                if not row[0].startswith(("sqlite_", "dutiful_"))
            ]
            return {name: _table(connection, name) for name in names}

    def jobs(self, without: str) -> Counter[str]:
        """See :class:`World`."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT task, args, key FROM dutiful_job WHERE id <> ?", (without,)
            ).fetchall()
        return Counter(job_text(*row) for row in rows)

    def write(self, sql: str, params: tuple[Any, ...]) -> None:
        """See :class:`World`."""
        with self._open() as connection:
            connection.execute(sql, params)

    def waits(self) -> bool:
        """See :class:`World`: here the shim is told, and nobody waits."""
        return False

    def close(self) -> None:
        """See :class:`World`."""
        for suffix in ("", "-wal", "-shm", "-turn", "-turn-wait"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(f"{self.path}{suffix}")


def job_text(task: str, args: Any, key: str | None) -> str:
    """An enqueued job, for comparing and for people."""
    text = bytes(args).decode("utf-8", "replace") if not isinstance(args, str) else args
    return f"{task}({text})" + (f" {key}" if key is not None else "")


def _table(connection: Any, name: str) -> Table:
    quoted = '"' + name.replace('"', '""') + '"'
    about = connection.execute(f"PRAGMA table_info({quoted})").fetchall()
    columns = [row[1] for row in about]
    key = [row[1] for row in sorted(about, key=lambda row: row[5]) if row[5]]
    kinds = {row[1]: str(row[2]).upper() for row in about}
    serial = key[0] if len(key) == 1 and kinds[key[0]] == "INTEGER" else None
    references = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({quoted})")}
    rows = connection.execute(f"SELECT * FROM {quoted}").fetchall()
    return Table(name, columns, key, serial, references, rows)
