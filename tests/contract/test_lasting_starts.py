"""A start that was acknowledged lasts: through a loss of power, and on the standby where there is one."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import psycopg
import pytest

from devtools.servers import PostgresServer
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.errors import CommitUnknown
from dutiful.operations import starts
from tests.contract.stores import APP
from tests.contract.ways import running
from tests.contract.world import World, world_at

# ── SQLite ──────────────────────────────────────────────────────────────────────────────────


def synchronous_levels(world: World) -> list[int]:
    """SQLite's level at each statement of a start, and after it."""
    engine = world.engine
    assert isinstance(engine, SqliteEngine)
    levels: list[int] = []

    def look(_step: object) -> None:
        assert engine._writer is not None
        levels.append(int(engine._writer.execute("PRAGMA synchronous")[0][0]))

    case = running(world, "default", False)
    engine.observe = look
    world.run(starts.start(APP, case.lease))
    engine.observe = None
    look(None)
    return levels


@pytest.mark.parametrize("url", ["sqlite_url", "sqlite_apsw_url"])
def test_on_sqlite_this_one_commit_waits_for_the_disk(url: str, request: pytest.FixtureRequest) -> None:
    with world_at(request.getfixturevalue(url)) as world:
        assert synchronous_levels(world) == [2, 1]
        case = running(world, "other", False)
        engine = world.engine
        assert isinstance(engine, SqliteEngine) and engine._writer is not None

        def cut(_step: object) -> None:
            raise KeyError

        engine.observe = cut
        with pytest.raises(KeyError):
            world.run(starts.start(APP, case.lease))
        engine.observe = None
        assert engine._writer.execute("PRAGMA synchronous")[0][0] == 1, "and no other one"


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────

ROUNDS = 30


def check_a_start_waits_for_the_disk(world: World) -> None:
    """Where commits do not: what was written of it is on the disk when it is answered."""
    [(database,)] = world.sql("SELECT current_database()")
    for setting in ("off", "local"):
        world.sql(f'ALTER DATABASE "{database}" SET synchronous_commit = {setting}')
        world.engine.close()  # and new connections, which are as lax as the database says
        for number in range(ROUNDS if setting == "off" else 1):
            case = running(world, f"queue {setting} {number}", False)
            [(before,)] = world.sql("SELECT pg_current_wal_insert_lsn()")
            assert world.run(starts.start(APP, case.lease)).what == "stored"
            [(kept,)] = world.sql("SELECT pg_current_wal_flush_lsn() > %s::pg_lsn", before)
            assert kept, "a start was answered before it was on the disk"


@pytest.mark.postgres
def test_on_postgres_this_one_commit_waits_for_the_disk(pg_world: World) -> None:
    check_a_start_waits_for_the_disk(pg_world)


@pytest.mark.parametrize("setting", ["off", "local", "remote_write", "on", "remote_apply"])
def test_a_stronger_setting_is_left_alone(pg_world: World, setting: str) -> None:
    from tests.contract.sessions import sessions

    world = pg_world
    case = running(world, "default", False)
    row = world.row(case.job)
    with sessions(world, 1) as [session]:
        session.execute(f"SET synchronous_commit = {setting}")
        session.begin()
        params = {"app": APP, "task": row["task"], "key": row["key"]}
        assert session.call("start_job", **params, id=case.job, token=case.lease.token)
        [(now,)] = session.execute("SHOW synchronous_commit")
        session.commit()
        [(after,)] = session.execute("SHOW synchronous_commit")
    assert (now, after) == ("on" if setting in ("off", "local") else setting, setting)


class Ghost:
    """A server that waits for a standby which is not there; ``cancel`` ends the wait of the one who waits."""

    def __init__(self, world: World, url: str) -> None:
        self.world, self.url = world, url

    def appear(self) -> None:
        """Until commits do wait: the checkpointer tells all sessions to, whenever it reads its settings."""
        self._set("ghost")
        probe = threading.Thread(target=self._commit_until_it_waits)
        probe.start()
        self.cancel()
        probe.join(20)
        assert not probe.is_alive()

    def _commit_until_it_waits(self) -> None:
        warnings: list[object] = []  # a wait that was cancelled ends with one
        with psycopg.connect(self.url, autocommit=True) as session:
            session.add_notice_handler(warnings.append)
            deadline = time.monotonic() + 20
            while not warnings and time.monotonic() < deadline:
                session.execute("SELECT pg_logical_emit_message(true, 'ghost', 'a commit that writes')")

    def vanish(self) -> None:
        self._set("")

    def _set(self, names: str) -> None:
        self.world.sql("SET synchronous_commit = local")
        self.world.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.world.sql("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 20
        while self.world.sql("SHOW synchronous_standby_names") != [(names,)]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def cancel(self) -> None:
        """Cancel the wait, as a person does (no timeout ends it)."""
        deadline = time.monotonic() + 20
        while not self.world.sql(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        ):
            assert time.monotonic() < deadline, "nobody waits for the standby"
            time.sleep(0.01)


@pytest.mark.postgres
@pytest.mark.parametrize("face", ["run", "arun"])
def test_a_start_that_may_be_on_this_server_alone_is_not_known(
    own_pg_server: PostgresServer, face: str
) -> None:
    """The wait for the standby was cancelled: committed here, and a warning that is easily overlooked."""
    url = own_pg_server.create_database("ghost")
    with world_at(url, face) as world:
        ghost = Ghost(world, url)
        case = running(world, "default", False)
        ghost.appear()
        said: list[Any] = []

        def start() -> None:
            try:
                said.append(world.run(starts.start(APP, case.lease)))
            except CommitUnknown as error:
                said.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        ghost.cancel()
        thread.join(20)
        assert isinstance(said[0], CommitUnknown), "a start counted that only this server knows"
        assert world.row(case.job)["started_at"] is not None, "though it was committed here"
        ghost.vanish()  # (or the standby comes)
        assert world.run(starts.start(APP, case.lease)) == starts.Start("stored")
        assert cast(PostgresEngine, world.engine).name == "postgres"
        assert world.verify() == []
