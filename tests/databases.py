"""PostgreSQL databases for tests, used again while their schema is as it was.

A fresh copy of the migrated template costs the server some 60 ms of work, and the test a wait for files
that are made and removed; taking all rows out of a used one costs a third of that. A database is dropped,
and the next test gets a fresh copy, when anything but rows differs from the template: a table, a column, a
constraint, a function, a trigger that is off, a right, a setting, the schema's version, the planner's
statistics, or much room left behind by dead rows.
"""

from __future__ import annotations

import uuid

import psycopg

from devtools.servers import PostgresConnection

EMPTY = """
DO $$
DECLARE t text;
BEGIN
    SET LOCAL session_replication_role = replica; -- no triggers
    FOR t IN SELECT relname FROM pg_class
              WHERE relnamespace = 'dutiful'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                AND relname <> 'version' LOOP
        EXECUTE format('DELETE FROM dutiful.%I', t);
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
       FROM pg_sequences WHERE schemaname = 'dutiful';
END $$
"""
"""All rows of all tables; TRUNCATE would make each table and index anew, in ten times the time."""

END_OTHERS = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

TABLES = """
SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class
 WHERE relnamespace IN ('public'::regnamespace, 'dutiful'::regnamespace) AND relkind IN ('r', 'p')
"""
"""Those of a test's own shop stand in either: without a schema's name, in that of the user's name, ours."""

SIGNATURE = """
SELECT md5(string_agg(line, '|' ORDER BY line)) FROM (
    SELECT format('relation %s %s %s %s %s %s', c.oid::regclass, c.relkind, c.reloptions, c.relacl,
                  c.reltuples, c.relrowsecurity) AS line
      FROM pg_class AS c WHERE c.oid >= 16384 AND c.relnamespace <> 'pg_toast'::regnamespace
    UNION ALL
    SELECT format('column %s %s %s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull, atthasdef,
                  attisdropped)
      FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE oid >= 16384
    UNION ALL
    SELECT format('index %s %s', pg_get_indexdef(indexrelid), indisvalid)
      FROM pg_index WHERE indexrelid >= 16384
    UNION ALL
    SELECT format('default %s %s', adrelid::regclass, pg_get_expr(adbin, adrelid)) FROM pg_attrdef
    UNION ALL
    SELECT format('trigger %s %s %s', pg_get_triggerdef(oid), tgenabled, tgdeferrable) FROM pg_trigger
     WHERE NOT tgisinternal
    UNION ALL
    SELECT format('function %s %s %s %s', oid::regprocedure, proacl, proconfig, md5(prosrc)) FROM pg_proc
     WHERE oid >= 16384
    UNION ALL
    SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
    UNION ALL
    SELECT format('type %s %s', oid::regtype, typacl) FROM pg_type WHERE oid >= 16384 AND typrelid = 0
       AND typelem = 0
    UNION ALL
    SELECT format('others %s', (SELECT count(*) FROM pg_rewrite WHERE oid >= 16384)
           + (SELECT count(*) FROM pg_extension) + (SELECT count(*) FROM pg_policy)
           + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_event_trigger)
           + (SELECT count(*) FROM pg_default_acl) + (SELECT count(*) FROM pg_largeobject_metadata)
           + (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384)
           + (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()))
    UNION ALL
    SELECT format('settings %s', setconfig) FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT format('version %s', query_to_xml(format('SELECT number FROM %s ORDER BY number',
                                                     to_regclass('dutiful.version')), true, true, ''))
    UNION ALL
    SELECT format('database %s %s', datacl, datconnlimit) FROM pg_database WHERE datname = current_database()
) AS found
"""

ROOM = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'dutiful'::regnamespace"
ROOM_LEFT_MAX = 1 << 20

ROWS = """
SELECT count(*) FROM pg_class
 WHERE relnamespace = 'dutiful'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
   AND relname <> 'version'
   AND (xpath('/row/n/text()', query_to_xml(
           format('SELECT count(*) AS n FROM dutiful.%I', relname), true, true, '')))[1]::text <> '0'
"""
"""How many tables of a fresh copy have rows: those would be taken out, so that none could be used again."""


class Databases:
    """Those of one process of a test run; only a migrated template is copied."""

    def __init__(self, server: PostgresConnection, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._connections: dict[str, psycopg.Connection] = {}
        self._signature: str | None = None
        self._room = 0
        self._seeded = False
        self._tables: set[str] = set()
        self.made = 0

    def take(self) -> str:
        """The name of a database with the template's schema, and no row in it."""
        if self._free:
            return self._free.pop()
        name = f"t{uuid.uuid4().hex[:16]}"
        self._server.create_database(name, template=self._template)
        self.made += 1
        if self._signature is None:
            connection = self._connected(name)
            self._signature = _one(connection, SIGNATURE)
            self._room = int(_one(connection, ROOM))
            self._seeded = _one(connection, ROWS) != "0"
            self._tables = _tables(connection)
        return name

    def give_back(self, name: str) -> None:
        """Empties it for the next test, or drops it."""
        try:
            clean = not self._seeded and self._cleaned(name)
        except psycopg.Error:  # a test may have left it in any state
            clean = False
        if clean:
            self._free.append(name)
        else:
            self._drop(name)

    def close(self) -> None:
        while self._free:
            self._drop(self._free.pop())

    def _drop(self, name: str) -> None:
        if (connection := self._connections.pop(name, None)) is not None:
            connection.close()
        self._server.drop_database(name)

    def _connected(self, name: str) -> psycopg.Connection:
        """One that stays: what it costs a new session to learn of a hundred tables is most of all this."""
        connection = self._connections.get(name)
        if connection is not None:
            try:
                connection.execute("SELECT 1")
                return connection
            except psycopg.Error:
                connection.close()  # the test sent all sessions away
        connection = psycopg.connect(self._server.url(name), autocommit=True)
        self._connections[name] = connection
        return connection

    def _cleaned(self, name: str) -> bool:
        connection = self._connected(name)
        ended = connection.execute(END_OTHERS).fetchall()
        if not all(row[0] for row in ended):
            return False
        for table in _tables(connection) - self._tables:
            connection.execute(f"DROP TABLE IF EXISTS {table} CASCADE".encode())
        connection.execute(EMPTY)
        room = int(_one(connection, ROOM))
        return _one(connection, SIGNATURE) == self._signature and room < self._room + ROOM_LEFT_MAX


def _tables(connection: psycopg.Connection) -> set[str]:
    return {row[0] for row in connection.execute(TABLES).fetchall()}


def _one(connection: psycopg.Connection, query: str) -> str:
    row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return str(row[0])
