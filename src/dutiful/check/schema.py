"""The unique keys of a database, read once: SQLite and PostgreSQL. It need not be one of dutiful's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..engines.urls import open_engine
from ..model.errors import InvalidUrl, StoreUnreachable

POSTGRES = """
select c.relname, (
    select string_agg(a.attname, ',') from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum = any (i.indkey)
)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_index i
    on i.indrelid = c.oid and i.indisunique and i.indpred is null and i.indexprs is null
where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
"""
"""Tables with the columns of each unique index that holds for all rows; none for a table without one."""
CONNECT_S = 10


@dataclass(frozen=True)
class Schema:
    """Which columns of which table are unique together."""

    keys: dict[str, list[frozenset[str]]]
    """By the table's name in small letters; a table without a key has an empty list."""

    def table(self, name: str) -> list[frozenset[str]] | None:
        """The keys of a table, with or without its schema's name; None for one that is not there."""
        return self.keys.get(name.lower().rpartition(".")[2])


def read_schema(url: str) -> Schema:
    """The keys of the database at that URL; nothing is written. Raises InvalidUrl, StoreUnreachable."""
    engine = open_engine(url)  # says what is wrong with the URL
    try:
        return Schema(
            _sqlite(str(getattr(engine, "path", ""))) if engine.name == "sqlite" else _postgres(url)
        )
    finally:
        engine.close()


def _sqlite(path: str) -> dict[str, list[frozenset[str]]]:
    if path == ":memory:":
        raise InvalidUrl("A database in memory has no tables for another process to read.")
    if not Path(path).exists():
        raise StoreUnreachable(f"There is no file {path}.", hint="Is the path right?")
    found: dict[str, list[frozenset[str]]] = {}
    try:
        with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            for (table,) in tables:
                sets = found.setdefault(table.lower(), [])
                columns = connection.execute("select name, pk from pragma_table_info(?)", (table,)).fetchall()
                if primary := frozenset(name.lower() for name, pk in columns if pk):
                    sets.append(primary)
                indexes = connection.execute(
                    'select name from pragma_index_list(?) where "unique" and not partial', (table,)
                ).fetchall()
                for (index,) in indexes:
                    names = connection.execute("select name from pragma_index_info(?)", (index,)).fetchall()
                    if all(name is not None for (name,) in names):
                        sets.append(frozenset(name.lower() for (name,) in names))
    except sqlite3.Error as error:
        raise StoreUnreachable(f"{path} cannot be read: {error}.") from error
    return found


def _postgres(url: str) -> dict[str, list[frozenset[str]]]:
    import psycopg

    found: dict[str, list[frozenset[str]]] = {}
    try:
        with psycopg.connect(url.split("?pooler=")[0], connect_timeout=CONNECT_S) as connection:
            for table, columns in connection.execute(POSTGRES).fetchall():
                sets = found.setdefault(str(table).lower(), [])
                if columns:
                    sets.append(frozenset(str(columns).lower().split(",")))
    except psycopg.Error as error:
        raise StoreUnreachable(f"The schema cannot be read: {' '.join(str(error).split())}") from error
    return found
