"""Reads a store: all its rows, and on an image whether SQLite and our checker are content with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import apsw

from dutiful.engines.sqlite import SqliteEngine
from dutiful.engines.sqlite_drivers import Connection
from dutiful.model.errors import DutifulError
from dutiful.operations import verify
from tests.powerloss.disk import Image
from tests.powerloss.history import Rows, Seen

FILE = "jobs.db"

LEFT_OUT = {
    # When a migration ran, by the clock of the host: an image without a store is migrated anew.
    "dutiful_version": "SELECT number, title FROM main.dutiful_version",
    # Our own checkpoints leave a row that belongs to no operation.
    "dutiful_chore": "SELECT * FROM main.dutiful_chore WHERE name <> 'checkpoint'",
}


def all_rows(connection: Connection) -> Rows:
    """Every row of every table, in the order in which the file has them."""
    names = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY name")
    return {name: connection.execute(LEFT_OUT.get(name, f'SELECT * FROM main."{name}"')) for (name,) in names}


def made_at(connection: Connection) -> int:
    """When the store was made: tells it from one that was made anew."""
    [(at,)] = connection.execute("SELECT min(applied_at) FROM main.dutiful_version")
    return int(at)


def writer(engine: SqliteEngine) -> Connection:
    """The connection that the engine writes with."""
    engine.check_schema()
    assert engine._writer is not None
    return engine._writer


Verified = dict[bytes, tuple[str, ...]]
"""What our checker said of a content: the same of the same, once SQLite says that no index lies."""


def look(image: Image, folder: Path, verified: Verified | None = None) -> Seen:
    """Put the image into the empty ``folder``, open it as any program would, and look at everything."""
    for name, content in image.items():
        (folder / name).write_bytes(content)
    # No power is lost while we look, so nothing need be synced.
    engine = SqliteEngine(str(folder / FILE), driver="apsw", synchronous="off")
    try:
        connection = writer(engine)
        said = [f"integrity: {row[0]}" for row in connection.execute("PRAGMA integrity_check")]
        rows = all_rows(connection)
        problems = tuple(said) if said != ["integrity: ok"] else _verified(engine, rows, verified)
        return Seen(rows, problems, made_at(connection))
    except (apsw.Error, DutifulError) as error:
        return Seen(problems=(f"unreadable: {type(error).__name__}: {error}",))
    finally:
        engine.close()
        for path in folder.iterdir():
            path.unlink()


def _verified(engine: SqliteEngine, rows: Rows, known: Verified | None) -> tuple[str, ...]:
    digest = hashlib.blake2b(repr(rows).encode()).digest()
    if known is not None and digest in known:
        return known[digest]
    said = tuple(f"verify: {found}" for found in engine.run(verify.check(None, full=True)))
    if known is not None:
        known[digest] = said
    return said
