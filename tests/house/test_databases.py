"""A PostgreSQL database is handed to the next test only if nobody could tell it from a fresh one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from devtools.servers import PostgresConnection
from dutiful import App
from tests.databases import Databases


@pytest.fixture(scope="module")
def kept(pg_server: PostgresConnection, migrated_template: str) -> Iterator[Databases]:
    databases = Databases(pg_server, migrated_template)
    yield databases
    databases.close()


def test_rows_are_taken_out_and_strangers_sent_away(kept: Databases, pg_server: PostgresConnection) -> None:
    name = kept.take()
    app = App("shop", pg_server.url(name))
    task = app.task(name="t")(lambda: None)
    job = task.enqueue()
    stranger = psycopg.connect(pg_server.url(name))
    stranger.execute("CREATE TABLE receipts (id bigint)")
    stranger.commit()
    kept.give_back(name)
    with pytest.raises(psycopg.OperationalError):
        stranger.execute("SELECT 1")
    app.close()
    assert kept.take() == name
    with psycopg.connect(pg_server.url(name)) as connection:
        counts = "SELECT (SELECT count(*) FROM dutiful.job), to_regclass('receipts') IS NULL"
        assert connection.execute(counts).fetchone() == (0, True)
        assert connection.execute("SELECT last_value FROM dutiful.worker_id_seq").fetchone() == (1,)
    kept.give_back(name)
    assert job.id


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX dutiful.job_ready",
        "ALTER TABLE dutiful.job ADD COLUMN more text",
        "ALTER TABLE dutiful.job SET (fillfactor = 90)",
        "ALTER TABLE dutiful.ledger DISABLE TRIGGER USER",
        "ALTER TABLE dutiful.job DROP CONSTRAINT job_pkey CASCADE",
        "CREATE FUNCTION dutiful.more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA more",
        "GRANT SELECT ON dutiful.job TO PUBLIC",
        "ANALYZE dutiful.version",
        "INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, kind, message)"
        " SELECT gen_random_uuid(), 1, 1, 0, 'much', repeat(md5(g::text), 40)"
        "   FROM generate_series(1, 2000) AS g",
    ],
)
def test_what_was_changed_is_not_handed_on(
    kept: Databases, pg_server: PostgresConnection, change: str
) -> None:
    name = kept.take()
    with psycopg.connect(pg_server.url(name), autocommit=True) as connection:
        connection.execute(change)
    kept.give_back(name)
    assert kept.take() != name
