"""The walk over dead jobs: each once, by pages that all begin in the index; and who would be refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from dutiful.engines.contract import Engine
from dutiful.engines.postgres import PostgresEngine
from dutiful.operations import dead, health, inspect
from dutiful.sql.render import render
from tests.contract.stores import APP, Clock, Run, end, face, look, new, opened, store, write

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    with opened(store_url) as engine:
        yield engine


@pytest.fixture(params=["run", "arun"])
def run(engine: Engine, request: pytest.FixtureRequest) -> Run:
    return face(engine, request.param)


def bury(run: Run, engine: Engine, count: int, **fields: str) -> list[str]:
    """So many dead jobs, all of one microsecond if a clock stands still."""
    for _ in range(count):
        store(run, new(**fields))
    return [end(engine, "bury", reason="error") for _ in range(count)]


def test_a_walk_sees_each_once_also_those_of_one_instant(run: Run, engine: Engine) -> None:
    engine.clock = Clock()
    died = bury(run, engine, 7)
    seen: list[str] = []
    after = (run(health.now()), LAST_ID)
    while found := run(dead.page(APP, after=after, limit=2)):
        seen += [job.id for job in found]
        after = (found[-1].ended_at_us, found[-1].id)
    assert seen == sorted(died, reverse=True)
    assert seen == [job.id for job in run(inspect.dead(APP))]


def test_filters_and_apps_are_kept_apart(run: Run, engine: Engine) -> None:
    bury(run, engine, 2, queue="mail")
    after = (run(health.now()) + 1, LAST_ID)
    assert len(run(dead.page(APP, after=after, queue="mail"))) == 2
    assert len(run(dead.page(APP, after=after, task="send"))) == 2
    assert run(dead.page(APP, after=after, queue="pdf")) == []
    assert run(dead.page(APP, after=after, task="sent")) == []
    assert run(dead.page("other", after=after)) == []
    assert run(health.apps()) == [APP]


def test_a_page_begins_at_its_place_in_the_index(engine: Engine) -> None:
    store(engine.run, new())
    values = {"app": f"'{APP}'", "after": "1700000000000000", "after_id": f"'{LAST_ID}'", "limit": "50"}
    if engine.name == "sqlite":
        text, names = render("sqlite", "walk_dead", "named").parts[0]
        for name in sorted({*names, "now"}, key=len, reverse=True):
            text = text.replace(f":{name}", values.get(name, "NULL"))
        plan = [str(row[-1]) for row in look(engine, f"EXPLAIN QUERY PLAN {text}")]
        assert any("dead_died" in line and "<" in line for line in plan), plan
        return
    write(
        engine,
        "INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, run_no, attempt, epoch,"
        " args_version, crashes, crashes_max, reason, delivery, task, args)"
        " SELECT gen_random_uuid(), (SELECT id FROM dutiful.lane), 1700000000000000 + n, 1, 1, 1, 1, 1, 1, 0,"
        " 3, 'error', 'at_least_once', 'send', '{}' FROM generate_series(1, 20000) AS n",
    )
    write(engine, "ANALYZE dutiful.dead")
    text, names = render("postgres", "walk_dead", "dollar").parts[0]
    for at, name in reversed(list(enumerate(names, 1))):
        text = text.replace(f"${at}", values.get(name, "NULL"))
    with cast(PostgresEngine, engine).connect() as connection:
        plan = [row[0] for row in connection.execute(f"EXPLAIN {text}").fetchall()]
    assert any("Index Cond" in line and "died_at" in line for line in plan), plan
    assert not any("Sort" in line for line in plan), plan


def test_a_duty_that_another_job_holds_is_named(run: Run, engine: Engine) -> None:
    store(run, new("order:1"))
    died = end(engine, "bury", reason="error")
    [line] = run(inspect.dead(APP))
    assert run(dead.held(APP, [line])) == {}
    holder = store(run, new("order:1"))
    assert run(dead.held(APP, [line])) == {died: cast(str, holder.id)}


def test_the_clock_of_the_leases_is_told(run: Run, engine: Engine) -> None:
    engine.clock = Clock(1_800_000_000_000_007)
    assert run(health.now()) == 1_800_000_000_000_007
