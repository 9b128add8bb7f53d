"""A commit whose answer was lost: an enqueue is one job, an ending stands once, a claim is handed back.

What is cut, and when, is chosen by a proxy between us and a real PostgreSQL.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.servers import PostgresServer
from dutiful import App, Handle, StoreError
from dutiful.engines.postgres import PostgresEngine
from tests.processes.support.proxy import Proxy, When
from tests.processes.support.workers import Place, on_postgres, place, until

__all__ = ["place"]

ROUNDS = 100
WHENS: tuple[When, ...] = ("before", "unanswered", "forwarded")

ENQUEUE = "INSERT INTO dutiful.job"
COMPLETE = "INSERT INTO dutiful.history"
RETURN = "attempt = j.attempt - e.back"
BURY = "INSERT INTO dutiful.dead"
CLAIM = "WITH due AS"
SUSPECT = "WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'\n       AND j.lane"


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    found = Proxy(place.url)
    yield found
    found.close()


def shop(url: str) -> App:
    app = App("tests", url)

    @app.task(name="send", once="send:{n}")
    def send(n: int) -> None: ...

    @app.task(name="free")
    def free(n: int) -> None: ...

    return app


def count(place: Place) -> int:
    with place.app.engine.connect() as connection:  # type: ignore[attr-defined]
        [(number,)] = connection.execute("SELECT count(*) FROM dutiful.job").fetchall()
    return int(number)


# ── enqueue ─────────────────────────────────────────────────────────────────────────────────


@on_postgres
@pytest.mark.parametrize("task", ["send", "free"])
@pytest.mark.parametrize("at", [ENQUEUE, "COMMIT"], ids=["alone", "commit"])
def test_an_enqueue_whose_answer_was_lost_is_one_job(place: Place, proxy: Proxy, task: str, at: str) -> None:
    app = shop(proxy.url)
    chance = random.Random(3)
    ids = []
    for n in range(ROUNDS):
        when = chance.choice(WHENS)
        # Only an enqueue of several statements has a COMMIT: into a lane that is new.
        using = app.find_task(task).using(queue=f"q{n}" if at == "COMMIT" else "default")
        trap = proxy.trap(at, when)
        ids.append(using.enqueue(n).id)
        trap.wait(1)
    assert len(set(ids)) == ROUNDS == count(place)
    app.close()


@on_postgres
def test_an_async_enqueue_whose_answer_was_lost_is_one_job(place: Place, proxy: Proxy) -> None:
    app = shop(proxy.url)
    chance = random.Random(4)

    async def enqueue() -> list[str]:
        ids = []
        for n in range(ROUNDS):
            trap = proxy.trap(ENQUEUE, chance.choice(WHENS))
            ids.append((await app.find_task(chance.choice(["send", "free"])).aenqueue(n)).id)
            trap.wait(1)
        await app.engine.aclose()  # type: ignore[attr-defined]
        return ids

    ids = asyncio.run(enqueue())
    assert len(set(ids)) == ROUNDS == count(place)
    app.close()


@on_postgres
def test_an_enqueue_repeated_with_its_id_is_one_job(place: Place, proxy: Proxy) -> None:
    """The client's own second try, after ours failed as well."""
    app = shop(proxy.url)
    chance = random.Random(5)
    handles: list[Handle[object]] = []
    for n in range(ROUNDS):
        task = app.find_task(chance.choice(["send", "free"]))
        id = app.new_id()
        # Cut on the way, nothing was stored, and the caller hears it; at the COMMIT, ours is tried twice.
        at, times = chance.choice([(ENQUEUE, 1), ("COMMIT", 2)])
        trap = proxy.trap(at, chance.choice(WHENS), times)
        with pytest.raises(StoreError):
            task.using(id=id).enqueue(n)
        trap.wait(1)
        handle = task.using(id=id).enqueue(n)
        assert handle.id == id
        again = task.using(id=id).enqueue(n)
        assert (again.id, again.duplicate) == (id, True)
        handles.append(handle)
    assert count(place) == len({handle.id for handle in handles}) == ROUNDS
    app.close()


# ── endings ─────────────────────────────────────────────────────────────────────────────────


@on_postgres
@pytest.mark.parametrize("how", ["complete", "bury", "fail"])
def test_an_ending_whose_answer_was_lost_stands_once(place: Place, proxy: Proxy, how: str) -> None:
    task, at = {"complete": ("nap", COMPLETE), "bury": ("raises", BURY), "fail": ("until_flag", RETURN)}[how]
    place.set("go")
    place.set("end")
    place.worker("--lease", "30s", DUTIFUL_TEST_URL=proxy.url)
    until(lambda: place.said("started-async"), "the worker is there")
    chance = random.Random(6)
    ids: list[str] = []
    for n in range(25 if how == "fail" else ROUNDS):
        size = chance.choice([1, 1, 5])
        trap = proxy.trap(at, chance.choice(WHENS))
        rows = {"nap": (n, 0), "raises": (n,), "until_flag": ("fail",)}[task]
        some = place.enqueue(task, *(rows for _ in range(size)))
        until(lambda: place.left() == 0, "all of this round are done")
        trap.wait(1)
        ids += some
    word = "error" if how == "bury" else "performed"
    assert place.states(ids) == {word: len(ids)}
    runs = {"complete": 1, "bury": 1, "fail": 2}[how]
    begun = [line[1] for line in place.said("begin")]
    assert {begun.count(id) for id in ids} == {runs}
    assert {place.job(id).run_no for id in ids} == {runs}
    assert place.output().count("commit_unknown") >= 10
    place.verified()


# ── claims ──────────────────────────────────────────────────────────────────────────────────


@on_postgres
def test_a_claim_whose_answer_was_lost_is_handed_back(place: Place, proxy: Proxy) -> None:
    place.worker("--lease", "60s", DUTIFUL_TEST_URL=proxy.url)
    until(lambda: place.said("started-async"), "the worker is there")
    chance = random.Random(7)
    ids = []
    for n in range(15):
        trap = proxy.trap(CLAIM, chance.choice(WHENS))
        ids += place.enqueue("nap", *((n, 0) for _ in range(chance.choice([1, 20]))))
        trap.wait()
        until(lambda: place.left() == 0, "what was claimed was handed back and run")
    assert place.states(ids) == {"performed": len(ids)}
    begun = [line[1] for line in place.said("begin")]
    assert sorted(begun) == sorted(ids), "once each"
    assert {place.job(id).attempt for id in ids} == {1}
    place.verified()


@on_postgres
def test_a_claim_that_ends_after_its_connection_is_handed_back(place: Place, proxy: Proxy) -> None:
    """The server is still at it when the worker asks what it got: it must ask again."""
    place.worker("--lease", "60s", DUTIFUL_TEST_URL=proxy.url)
    until(lambda: place.said("started-async"), "the worker is there")
    engine = place.app.engine
    assert isinstance(engine, PostgresEngine)
    with engine.connect() as connection:
        connection.execute("CREATE SEQUENCE public.claims")
        connection.execute(
            "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF nextval('public.claims') = 1 THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER slow BEFORE UPDATE ON dutiful.job FOR EACH ROW"
            " WHEN (NEW.state = 'running') EXECUTE FUNCTION public.slow()"
        )
    trap = proxy.trap(CLAIM, "forwarded")
    ids = place.enqueue("nap", (0, 0))
    trap.wait()
    until(lambda: place.left() == 0, "it is not stuck", 40)
    assert place.states(ids) == {"performed": 1}
    place.verified()


@on_postgres
def test_a_suspect_whose_claim_was_lost_is_not_stuck(place: Place, proxy: Proxy) -> None:
    [id] = place.enqueue("nap", (0, 1000))
    worker = place.worker()
    until(lambda: place.said("begin"), "it has begun")
    place.kill(worker)
    trap = proxy.trap(
        "WHERE j.suspect AND j.ready_seq IS NOT NULL AND j.state = 'ready'\n       AND", "unanswered"
    )
    place.worker(DUTIFUL_TEST_URL=proxy.url)
    trap.wait()
    until(lambda: place.job(id).state == "done", "it was claimed again")
    assert place.job(id).crashes == 0
    assert len(place.said("begin", id)) == 2
    place.verified()


# ── the server goes and comes ───────────────────────────────────────────────────────────────


def test_a_worker_outlives_its_server(own_pg_server: PostgresServer, tmp_path: Path) -> None:
    place = Place(own_pg_server.create_database("jobs"), tmp_path)
    try:
        place.app.migrate()
        ids = place.enqueue("nap", *((n, 10) for n in range(100)))
        ids += place.enqueue("anap", *((n, 10) for n in range(100)))
        worker = place.worker("--concurrency", "4", "--lease", "30s")
        for share in (20, 60, 110):
            until(lambda share=share: len(place.said("end")) >= share, "the worker is at work")
            own_pg_server.stop("immediate")
            time.sleep(0.5)
            own_pg_server.start()
        until(lambda: _left(place) == 0, "all are done")
        assert worker.poll() is None
        assert place.states(ids) == {"performed": 200}
        begun = [line[1] for line in place.said("begin")]
        assert set(begun) == set(ids)
        place.verified()
    finally:
        place.close()
        print(place.output()[-4000:])


def _left(place: Place) -> int:
    try:
        return place.left()
    except StoreError:
        return -1


# ── the heart ───────────────────────────────────────────────────────────────────────────────


@on_postgres
def test_the_heart_beats_through_whatever_bodies_do(place: Place) -> None:
    blocked = place.enqueue("blocks_the_loop", (0, 6000))
    spinning = place.enqueue("spins", *((n, 6000) for n in range(3)))
    place.worker("--concurrency", "3", "--lease", "3s")
    place.worker("--concurrency", "1", "--lease", "3s", "--queues", "none")  # a reaper
    until(lambda: len(place.said("end")) == 4, "all have ended")
    until(lambda: place.left() == 0, "all are done")
    for id in blocked + spinning:
        assert (place.job(id).run_no, place.job(id).suspect) == (1, False)
    for word in ("job_lapsed", "worker_expelled", "run_over"):
        assert word not in place.output()
    place.verified()
