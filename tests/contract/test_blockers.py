"""Who waits in vain for a row is told who holds it: pid, application, and how long."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, cast

import psycopg
import pytest

from dutiful import App, once
from dutiful.app.transactions import AsyncTransaction, Transaction
from dutiful.engines import blockers, bound_block
from dutiful.engines.postgres import PostgresEngine
from dutiful.model.errors import StoreBusy
from dutiful.operations import inspect
from dutiful.testing import run_all
from tests.contract.ledger_stores import postgres_ledger_url, shared_ledger_url
from tests.contract.test_once_races import two

__all__ = ["postgres_ledger_url", "shared_ledger_url"]

pytestmark = pytest.mark.postgres

TABLE = 'Held "rows" ' + secrets.token_hex(4)
QUOTED = '"' + TABLE.replace('"', '""') + '"'


@pytest.fixture
def app(reused_postgres_url: str) -> Iterator[App]:
    made = App("shop", reused_postgres_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def holder(app: App) -> Iterator[Any]:
    """A session that holds row 1."""
    conninfo = cast(PostgresEngine, app.engine).conninfo
    with psycopg.connect(conninfo, application_name="backup") as raw:
        raw.execute(cast(Any, f"CREATE TABLE {QUOTED} (id integer PRIMARY KEY, n integer)"))
        raw.execute(cast(Any, f"INSERT INTO {QUOTED} VALUES (1, 0), (2, 0)"))
        raw.commit()
        raw.execute(cast(Any, f"UPDATE {QUOTED} SET n = 1 WHERE id = 1"))
        yield raw
        raw.rollback()
        raw.execute(cast(Any, f"DROP TABLE {QUOTED}"))
        raw.commit()


UPDATE: Any = f"UPDATE {QUOTED} SET n = n + 1 WHERE id = 1"


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_the_error_of_a_body_names_who_holds_the_row(app: App, holder: Any, kind: str) -> None:
    if kind == "plain":

        @app.task(name="t", delivery="exactly_once", retry=0)
        def body(*, tx: Transaction) -> None:
            tx.execute("SET LOCAL lock_timeout = '20ms'")
            tx.execute(UPDATE)

    else:

        @app.task(name="t", delivery="exactly_once", retry=0)
        async def body(*, tx: AsyncTransaction) -> None:
            await tx.execute("SET LOCAL lock_timeout = '20ms'")
            await tx.execute(UPDATE)

    job = body.enqueue()
    run_all(app)
    [failure] = app.engine.run(inspect.failures(job.id))
    assert "LockNotAvailable" in failure.kind
    held = f"It is held by pid {holder.info.backend_pid} (backup), its transaction open for "
    assert held in failure.message and "idle in transaction" in failure.message
    assert "SET n = 1 WHERE id = 1" in failure.message


def test_several_who_share_a_row_may_be_it(app: App, holder: Any) -> None:
    conninfo = cast(PostgresEngine, app.engine).conninfo
    share: Any = f"SELECT 1 FROM {QUOTED} WHERE id = 2 FOR SHARE"
    with (
        psycopg.connect(conninfo) as one,
        psycopg.connect(conninfo) as other,
        psycopg.connect(conninfo) as me,
    ):
        one.execute(share)
        other.execute(share)
        me.execute("SET lock_timeout = '20ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable) as raised:
            me.execute(cast(Any, f"DELETE FROM {QUOTED} WHERE id = 2"))
        said = blockers.sentence(raised.value, conninfo, me.info.backend_pid)
        assert said is not None and said.startswith("It may be held by ")
        for session in (one, other):
            assert f"pid {session.info.backend_pid}" in said
        assert f"pid {me.info.backend_pid}" not in said


def test_who_cannot_ask_says_nothing(app: App, holder: Any) -> None:
    conninfo = cast(PostgresEngine, app.engine).conninfo
    with psycopg.connect(conninfo) as me:
        me.execute("SET lock_timeout = '20ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable) as raised:
            me.execute(UPDATE)
    assert blockers.sentence(raised.value, "host=127.0.0.1 port=1") is None
    assert blockers.sentence(ValueError("no lock"), conninfo) is None
    assert blockers.lock_error(ValueError("no lock")) is None


def test_the_error_of_a_key_names_who_has_just_used_it(
    postgres_ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_block, "WAIT_S", 0.05)
    with two(postgres_ledger_url) as (one, other):
        with once(one.lent, "k"):
            with pytest.raises(StoreBusy, match="'k'") as busy, once(other.lent, "k"):
                raise AssertionError
            assert f"held by pid {one.lent.info.backend_pid}" in str(busy.value)
            other.rollback()
        one.rollback()
