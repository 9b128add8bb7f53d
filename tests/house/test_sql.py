"""The SQL of both engines: each statement is used, exists, prepares, and keeps the house's rules."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from dutiful.sql import EngineName, Statement, migrations, schema, statements
from dutiful.sql.render import render

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dutiful"
ENGINES: tuple[EngineName, ...] = ("sqlite", "postgres")
ONLY_POSTGRES = {"copy_jobs"}  # SQLite has no COPY
LINES_MAX = 45
FROZEN = re.compile(r"\bnow\s*\(\s*\)|current_timestamp|statement_timestamp|transaction_timestamp", re.I)
CLAIM_WRITES = {"state", "token", "worker", "run_no", "attempt", "claimed_at"}

each_engine = pytest.mark.parametrize("engine", ENGINES)


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    names = {engine: set(statements(engine)) for engine in ENGINES}
    assert names["postgres"] - names["sqlite"] <= ONLY_POSTGRES | engine_only("postgres")
    assert names["sqlite"] - names["postgres"] <= engine_only("sqlite")
    text = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    for name in names["postgres"] | names["sqlite"]:
        assert f'"{name}"' in text, f"nobody uses the statement {name}"
    called = set(re.findall(r'(?:Call|Load)\(\s*"([a-z]\w*)"', text))
    assert called <= names["postgres"] | names["sqlite"], "a statement that does not exist is used"


def engine_only(engine: EngineName) -> set[str]:
    """Statements of a file that only one engine has, such as its own health readings."""
    ours = {path.name for path in (PACKAGE / "sql" / engine).glob("*.sql")}
    other = "sqlite" if engine == "postgres" else "postgres"
    theirs = {path.name for path in (PACKAGE / "sql" / other).glob("*.sql")}
    only = {f"{engine}/{name}" for name in ours - theirs}
    return {name for name, statement in statements(engine).items() if statement.file in only}


def tables(engine: EngineName) -> set[str]:
    return set(re.findall(r"^CREATE TABLE dutiful[._](\w+)", schema(engine), re.MULTILINE))


def wrongs(statement: Statement, ours: set[str]) -> list[str]:
    """What a statement does against the house's rules."""
    found = []
    if not statement.purpose:
        found.append("does not say what it is for")
    if any(len(part.splitlines()) > LINES_MAX for part in statement.parts):
        found.append("is too long")
    if FROZEN.search(statement.text):
        found.append("asks for the transaction's frozen clock")
    text = re.sub(r"--[^\n]*|'[^']*'", " ", statement.text)
    named = set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+(\w[\w.]*)", text, re.I))
    inner = set(re.findall(r"\b(\w+)\s+AS\s+(?:MATERIALIZED\s+)?\(", text, re.I))
    bare = {name.removeprefix("dutiful_") for name in named - inner if "." not in name}
    # A caller's connection brings its own search_path, and perhaps a table of its own called job.
    found += [f"names {name} without its schema" for name in sorted(bare & ours)]
    return found


@each_engine
def test_every_statement_keeps_the_rules(engine: EngineName) -> None:
    ours = tables(engine)
    assert len(ours) >= 10
    found = [
        (one.file, one.name, wrong) for one in statements(engine).values() for wrong in wrongs(one, ours)
    ]
    assert found == []


def test_the_schema_asks_for_no_frozen_clock() -> None:
    for engine in ENGINES:
        texts = [schema(engine), *(step.text for step in migrations(engine))]
        assert not [text for text in texts if FROZEN.search(re.sub(r"--[^\n]*", "", text))]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("SELECT 1 FROM dutiful.job AS j WHERE j.run_at < now()", "asks for the transaction's frozen clock"),
        ("SELECT CURRENT_TIMESTAMP", "asks for the transaction's frozen clock"),
        ("SELECT id FROM job", "names job without its schema"),
        ("WITH gone AS (DELETE FROM dutiful.job RETURNING id) INSERT INTO dead SELECT * FROM gone",
         "names dead without its schema"),
        ("SELECT 1 FROM dutiful.duty AS d JOIN history AS h ON true", "names history without its schema"),
        ("UPDATE dutiful_lane SET id = 1", "names lane without its schema"),
        ("SELECT 1\n" * (LINES_MAX + 1), "is too long"),
    ],
)  # fmt: skip
def test_planted_statements_are_reported(text: str, wrong: str) -> None:
    assert wrongs(Statement("planted", text, "why", "x.sql"), tables("postgres")) == [wrong]


def test_what_only_looks_wrong_is_not_reported() -> None:
    text = "WITH job AS (SELECT 1 FROM dutiful.job) SELECT 'FROM job now()', j.now -- now()\n FROM job AS j"
    assert wrongs(Statement("sound", text.replace("now()", "later"), "why", "x.sql"), tables("sqlite")) == []
    assert wrongs(Statement("silent", "SELECT 1", "", "x.sql"), set()) == ["does not say what it is for"]


def returned(text: str) -> list[str]:
    """What is asked of columns in RETURNING with IS, outside any sub-select."""
    found = []
    for part in re.findall(r"\bRETURNING\b(.*)", re.sub(r"--[^\n]*", " ", text), re.DOTALL | re.IGNORECASE):
        while group := re.search(r"\(([^()]*)\)", part):
            inside = "" if group[1].lstrip().upper().startswith("SELECT") else f" {group[1]} "
            part = part[: group.start()] + inside + part[group.end() :]
        found += re.findall(r"\w+ IS (?:NOT )?NULL", part)
    return found


def test_sqlite_asks_for_no_null_in_returning() -> None:
    """SQLite before 3.41 takes the nullability of another column there: a NULL is none."""
    assert returned("DELETE FROM a RETURNING b, CASE WHEN c IS NULL THEN 0 END") == ["c IS NULL"]
    assert returned("UPDATE a RETURNING EXISTS (SELECT 1 FROM d WHERE d.e IS NULL AND (d.f = 1))") == []
    for name, statement in statements("sqlite").items():
        for part in statement.parts:
            assert returned(part) == [], name


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
            (kind, name, re.sub(r'--[^\n]*|\s|"|IFNOTEXISTS|main\.', "", sql or ""))
            for kind, name, sql in rows
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
    triggers = (
        "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = 'dutiful'::regnamespace AND NOT t.tgisinternal"
    )
    options = (
        "SELECT relname, relkind::text, reloptions FROM pg_class"
        " WHERE relnamespace = 'dutiful'::regnamespace AND relname !~ '^history_\\d'"
    )
    indexes = (
        "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " WHERE c.relnamespace = 'dutiful'::regnamespace AND c.relname !~ '^history_\\d'"
    )
    sequences = (
        "SELECT sequencename, start_value, increment_by, cycle, cache_size, data_type::text"
        " FROM pg_sequences WHERE schemaname = 'dutiful'"
    )
    with psycopg.connect(empty_postgres_url) as empty, psycopg.connect(postgres_url) as made:
        empty.execute(schema("postgres"))  # type: ignore[arg-type]
        for question in (columns, constraints, functions, triggers, options, indexes, sequences):
            one = sorted(map(repr, empty.execute(question).fetchall()))
            assert sorted(map(repr, made.execute(question).fetchall())) == one


def test_every_table_has_a_primary_key_on_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema("sqlite"))
    for name in tables("sqlite"):
        columns = connection.execute(f"SELECT pk FROM pragma_table_info('dutiful_{name}')").fetchall()
        assert columns and any(pk for (pk,) in columns), name


@each_engine
def test_what_a_claim_writes_is_known_here(engine: EngineName) -> None:
    """Or the test below would look for the wrong columns."""
    for name in ("claim_jobs", "claim_suspect"):
        text = statements(engine)[name].text
        [written] = re.findall(r"SET (state = 'running'.*?)\n\s+(?:FROM|WHERE)", text, re.DOTALL)
        assert set(re.findall(r"(\w+) = ", written)) == CLAIM_WRITES


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
