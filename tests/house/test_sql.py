"""The SQL of both engines: each statement is used, exists, prepares, and keeps the house's rules."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from dutiful.sql import EngineName, schema, statements
from dutiful.sql.render import render

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dutiful"
ENGINES: tuple[EngineName, ...] = ("sqlite", "postgres")
ONLY_POSTGRES = {"copy_jobs"}  # SQLite has no COPY
LINES_MAX = 45
CLAIM_WRITES = {"state", "token", "worker", "run_no", "attempt", "claimed_at"}

each_engine = pytest.mark.parametrize("engine", ENGINES)


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    names = {engine: set(statements(engine)) for engine in ENGINES}
    assert names["postgres"] - names["sqlite"] <= ONLY_POSTGRES | engine_only("postgres")
    assert names["sqlite"] - names["postgres"] <= engine_only("sqlite")
    text = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    for name in names["postgres"] | names["sqlite"]:
        assert f'"{name}"' in text, f"nobody uses the statement {name}"
    called = set(re.findall(r'(?:Call|Load)\(\s*"(\w+)"', text))
    assert called <= names["postgres"] | names["sqlite"], "a statement that does not exist is used"


def engine_only(engine: EngineName) -> set[str]:
    """Statements of a file that only one engine has, such as its own health readings."""
    ours = {path.name for path in (PACKAGE / "sql" / engine).glob("*.sql")}
    other = "sqlite" if engine == "postgres" else "postgres"
    theirs = {path.name for path in (PACKAGE / "sql" / other).glob("*.sql")}
    only = {f"{engine}/{name}" for name in ours - theirs}
    return {name for name, statement in statements(engine).items() if statement.file in only}


@each_engine
def test_statements_are_short_and_say_why(engine: EngineName) -> None:
    for name, statement in statements(engine).items():
        assert statement.purpose, f"{statement.file}: {name} does not say what it is for"
        for part in statement.parts:
            lines = len(part.splitlines())
            assert lines <= LINES_MAX, f"{statement.file}: {name} has {lines} lines"


@each_engine
def test_no_statement_asks_for_a_transactions_frozen_clock(engine: EngineName) -> None:
    for name, statement in statements(engine).items():
        assert not re.search(r"\bnow\s*\(\)|current_timestamp|statement_timestamp", statement.text, re.I), (
            name
        )


@each_engine
def test_every_table_is_qualified(engine: EngineName) -> None:
    """A caller's connection brings its own search_path, and perhaps a table of its own called job."""
    tables = set(re.findall(r"^CREATE TABLE dutiful[._](\w+)", schema(engine), re.MULTILINE))
    assert len(tables) >= 10
    for statement in statements(engine).values():
        text = re.sub(r"--[^\n]*|'[^']*'", " ", statement.text)
        named = set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+(\w[\w.]*)", text))
        inner = set(re.findall(r"\b(\w+)\s+AS\s+(?:MATERIALIZED\s+)?\(", text))
        bare = {name.removeprefix("dutiful_") for name in named - inner if "." not in name}
        assert not bare & tables, f"{statement.file}: {statement.name}"


def test_every_statement_prepares_on_sqlite() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(schema("sqlite"))
    for name in statements("sqlite"):
        for text, params in render("sqlite", name, "named").parts:
            if text.startswith("CREATE TEMP"):
                connection.execute(text)
            elif not text.upper().startswith("PRAGMA"):
                connection.execute(f"EXPLAIN {text}", dict.fromkeys(params))


@pytest.mark.postgres
def test_every_statement_prepares_on_postgres(postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        for name in set(statements("postgres")) - ONLY_POSTGRES:
            text, _ = render("postgres", name, "dollar").parts[0]
            answer = connection.pgconn.prepare(b"", text.encode())
            assert answer.status == psycopg.pq.ExecStatus.COMMAND_OK, (
                f"{name}: {answer.error_message.decode()}"
            )


def test_migrations_from_zero_equal_the_schema_on_sqlite(sqlite_url: str) -> None:
    from dutiful.engines.urls import open_engine

    engine = open_engine(sqlite_url)
    engine.migrate()
    engine.close()

    def shape(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name LIKE 'dutiful%'")
        # Comments are kept in the text; "IF NOT EXISTS" and blanks do not matter.
        return sorted(
            (kind, name, re.sub(r"--[^\n]*|\s|IFNOTEXISTS|main\.", "", sql or "")) for kind, name, sql in rows
        )

    fresh = sqlite3.connect(":memory:")
    fresh.executescript(schema("sqlite"))
    made = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    assert shape(made) == [(k, n, t) for k, n, t in shape(fresh)]
    made.close()


@pytest.mark.postgres
def test_migrations_from_zero_equal_the_schema_on_postgres(
    postgres_url: str, empty_postgres_url: str
) -> None:
    import psycopg

    columns = (
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
        " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE c.relnamespace = 'dutiful'::regnamespace AND a.attnum > 0 AND c.relname !~ '^history_\\d'"
    )
    constraints = (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'dutiful'::regnamespace AND conrelid::regclass::text !~ 'history_\\d'"
    )
    functions = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'dutiful'::regnamespace"
    options = (
        "SELECT relname, relkind::text, reloptions FROM pg_class"
        " WHERE relnamespace = 'dutiful'::regnamespace AND relname !~ '^history_\\d'"
    )
    with psycopg.connect(empty_postgres_url) as empty, psycopg.connect(postgres_url) as made:
        empty.execute(schema("postgres"))  # type: ignore[arg-type]
        for question in (columns, constraints, functions, options):
            one = sorted(map(repr, empty.execute(question).fetchall()))
            assert sorted(map(repr, made.execute(question).fetchall())) == one


@pytest.mark.postgres
def test_every_table_has_a_primary_key_and_claims_write_no_indexed_column(postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        without = connection.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'dutiful'::regnamespace"
            " AND c.relkind IN ('r', 'p') AND NOT EXISTS"
            " (SELECT 1 FROM pg_constraint p WHERE p.conrelid = c.oid AND p.contype = 'p')"
        ).fetchall()
        assert without == []
        indexes = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'dutiful' AND tablename = 'job'"
        ).fetchall()
    assert len(indexes) >= 4
    for (text,) in indexes:
        words = set(re.findall(r"\w+", text.partition("USING")[2]))
        assert not words & CLAIM_WRITES, text
