"""J1, J2: a job is shown however odd or long it is, and the page says why it is not running."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dutiful
from dutiful.engines.contract import Engine
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Failure, Lane, Lease, NewJob, NewWorker
from dutiful.operations import claims, enqueue, inspect, lanes, queues, settle, workers
from dutiful.operations.plan import as_json
from dutiful.operations.why import why
from tests.contract.world import Eye
from tests.web.conftest import Page, Shop

EVENTS = 20_000
HTML_MAX = 120_000
LARGE = 30_000_000
ODD = '"n":9223372036854775808,"t":"\\u202eabc \\u0000 🙂"'


def take(engine: Engine, task: str, host: str = "w-9", queue: str = "") -> tuple[int, Lease]:
    """The next job of this task, claimed by a worker of its own."""
    known = {task: 99}
    worker = NewWorker("shop", host, 9, 10**12, 1, as_json([queue] if queue else []), as_json(known))
    number = engine.run(workers.register(worker))
    order = [Lane(one.id) for one in engine.run(lanes.lanes("shop"))]
    for _ in range(2):  # on PostgreSQL what comes due is claimed by the statement after that
        if leases := engine.run(claims.claim(number, order, known, 1, promote=True)).leases:
            return number, leases[0]
    raise AssertionError("there is nothing to claim")


def end(engine: Engine, task: str, verb: Any, **fields: Any) -> None:
    worker, lease = take(engine, task)
    ending = Ending(verb, lease.job_id, lease.token, lease.run_no, **fields)
    assert engine.run(settle.settle([ending], worker)) == []


def dead(engine: Engine, task: str, args: bytes) -> str:
    """A job that gave up, of a task that no code has."""
    job = NewJob(id=make_id(), task=task, queue="mail", priority=0, args=args, args_hash="h")
    engine.run(enqueue.one("shop", job))
    end(engine, task, "bury", reason="error", failure=Failure("ValueError", "no \u202e🙂", "Traceback"))
    return job.id


@pytest.mark.timeout(240)
def test_j1_30_mb_of_a_task_that_is_gone(filled: Shop, page: Page) -> None:
    args = ('{"blob":"' + "x" * LARGE + '",' + ODD + "}").encode()
    job_id = dead(filled.app.engine, "shop.huge", args)
    got = page.get(f"/jobs/{job_id}")
    text = got.body.decode()
    assert got.status == 200 and len(got.body) <= HTML_MAX
    assert "shop.huge" in text and "too large to be checked" in text and f"{len(args):,} bytes" in text
    # the download is what is stored, number for number
    download = page.get(f"/jobs/{job_id}/args").body
    assert json.loads(download) == json.loads(args) and b"9223372036854775808" in download
    discard(filled, page, job_id)


def discard(filled: Shop, page: Page, job_id: str) -> None:
    form = page.fields(f"/jobs/{job_id}/discard") | {"reason": "nobody has this task"}
    assert page.post(f"/jobs/{job_id}/discard", form).status == 303
    assert filled.app.engine.run(inspect.job("shop", job_id)).outcome == "waived"


def test_j1_20_000_events_come_in_pages_the_newest_first(filled: Shop, page: Page) -> None:
    job_id = dead(filled.app.engine, "shop.long", ("{" + ODD + "}").encode())
    plant(filled.app.engine, job_id)
    got = page.get(f"/jobs/{job_id}")
    text = got.body.decode()
    assert got.status == 200 and len(got.body) <= HTML_MAX
    assert "9223372036854775808" in text and "🙂" in text and "\\u0000" in text
    expected, path = EVENTS, f"/jobs/{job_id}.json"
    for _ in range(3):
        found = json.loads(page.get(path).body)
        numbers = [
            int(number) for one in found["timeline"] for number in re.findall(r"^run (\d+) ", one["words"])
        ]
        assert len(found["timeline"]) == 200 and len(found["failures"]) == 10
        assert numbers == list(range(expected - 199, expected + 1))
        expected -= 200
        path = found["earlier"].replace(job_id, f"{job_id}.json")
    oldest = json.loads(page.get(f"/jobs/{job_id}.json?before={found['now_us'] - 10**14}.0.0").body)
    assert oldest["timeline"] == [] and oldest["latest"] == f"/jobs/{job_id}"
    discard(filled, page, job_id)


def plant(engine: Engine, job_id: str) -> None:
    """Many runs that were put off, and many that failed, after the one that there was."""
    eye = Eye(engine)
    cast = "::uuid" if engine.name == "postgres" else ""
    count = (
        f"SELECT i FROM generate_series(2, {EVENTS}) AS s(i)"
        if cast
        else "WITH RECURSIVE s(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM s"
        f" WHERE i < {EVENTS}) SELECT i FROM s"
    )
    [(at,)] = eye.sql(f"SELECT died_at FROM dutiful.dead WHERE id = %s{cast}", job_id)
    eye.sql(
        "INSERT INTO dutiful.event (job_id, run_no, at, what)"
        f" SELECT %s{cast}, n.i, {at} + n.i, 'snoozed' FROM ({count}) AS n WHERE n.i % 2 = 0".replace(
            "% 2", "%% 2" if cast else "% 2"
        ),
        job_id,
    )
    eye.sql(
        "INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, kind, message, traceback)"
        f" SELECT %s{cast}, n.i, 1, {at} + n.i, 'ValueError', 'no', '{'frame ' * 50}'"
        f" FROM ({count}) AS n WHERE n.i % 2 = 1".replace("% 2", "%% 2" if cast else "% 2"),
        job_id,
    )
    eye.close()


def test_j1_unreadable_arguments_can_be_discarded(filled: Shop, page: Page) -> None:
    job_id = dead(filled.app.engine, "shop.torn", b"{nothing \xff")
    assert "redacted: formatter failed" in page.get(f"/jobs/{job_id}").body.decode()
    assert job_id in page.get("/dead/jobs").body.decode()
    discard(filled, page, job_id)


# ── J2: one seed for each cause ─────────────────────────────────────────────────────────────


@dataclass
class Place:
    """A store of its own, with a worker that knows its tasks and takes its queues."""

    app: dutiful.App
    page: Page

    def put(self, task: str, **options: Any) -> str:
        return self.app.tasks[task].using(**options).enqueue("k").id

    def raw(self, task: str, queue: str = "default", **more: Any) -> str:
        job = NewJob(
            id=make_id(), task=task, queue=queue, priority=0, args=b'{"key":"k"}', args_hash="h", **more
        )
        self.app.engine.run(enqueue.one("shop", job))
        return job.id


@pytest.fixture(
    scope="module", params=[pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    drop = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('why') / 'why.db'}"
    else:
        server, template = request.getfixturevalue("pg_server"), request.getfixturevalue("migrated_template")
        drop = (server, f"web_why_{id(request)}")
        url = server.create_database(drop[1], template=template)
    app = dutiful.App("shop", url, release="r1")
    app.queue("small", limit=1)
    for name, options in GATES.items():
        declare(app, name, **options)
    if request.param == "sqlite":
        app.engine.migrate()
    app.engine.run(lanes.declare("shop", [("small", 0)], [("small", None)], {"small": 1}))
    known = as_json({**app.known()})
    seats = as_json(["default", "paused", "small"])
    app.engine.run(workers.register(NewWorker("shop", "w-1", 1, 10**12, 4, seats, known, release="r1")))
    made = Shop(app, {}).page()
    yield Place(app, made)
    made.site.close()
    app.close()
    if drop is not None:
        drop[0].drop_database(drop[1])


GATES: dict[str, dict[str, Any]] = {
    "plain": {},
    "later": {},
    "halted": {"queue": "paused"},
    "elsewhere": {"queue": "nobody"},
    "limited": {"queue": "small"},
    "locked": {"lock": "{key}"},
    "ordered": {"order": "{key}"},
    "rated": {"rate": dutiful.Rate(1, "1h", key="bank")},
}


def declare(app: dutiful.App, name: str, **options: Any) -> None:
    @app.task(name=name, retry=0, **options)
    def body(key: str) -> None:
        return None


def test_j2_the_right_cause_comes_first(place: Place) -> None:
    engine = place.app.engine

    def held(task: str) -> str:
        """The first is in; returns the second, which waits."""
        place.put(task)
        take(engine, task)
        return place.put(task)

    def paused() -> str:
        found = place.put("halted")
        engine.run(queues.pause("shop", "paused", actor="ann", reason="the printer burns"))
        return found

    def full() -> str:
        place.put("limited")
        worker, _ = take(engine, "limited", queue="small")
        assert engine.run(queues.take_share("shop", "small", worker, 1, 0)) == 1
        return place.put("limited")

    def buried() -> str:
        found = place.raw("of.the.dead")
        end(engine, "of.the.dead", "bury", reason="error", failure=Failure("ValueError", "no such order"))
        return found

    seeds: dict[str, tuple[Callable[[], str], tuple[str, ...]]] = {
        "paused": (paused, ('queue "paused" is paused', "ann: the printer burns")),
        "no worker": (lambda: place.put("elsewhere"), ('no live worker takes queue "nobody"',)),
        "no task": (lambda: place.raw("plane"), ('knows task "plane"', 'aliases=["plain"]')),
        "newer": (lambda: place.raw("plain", args_version=7), ("are of version 7",)),
        "not due": (lambda: place.put("later", run_in="2h"), ("scheduled, due in",)),
        "lock": (lambda: held("locked"), ("1 of 1 places of", "lock", "are held by")),
        "order": (lambda: held("ordered"), ("it waits behind job", "That one runs.")),
        "rate": (lambda: held("rated"), ("rate", "allows its start in about", "one start in 1h")),
        "queue full": (full, ('the only place of queue "small" is taken',)),
        "dead": (buried, ("dead: it died", "no such order")),
        "in line": (lambda: place.put("plain"), ("in line in queue",)),
        "outranked": (
            lambda: (place.put("plain", priority=9), place.put("plain"))[1],
            ("goes first of higher priority",),
        ),
    }
    wrong = []
    for name, (seed, says) in seeds.items():
        job_id = seed()
        found = json.loads(place.page.get(f"/jobs/{job_id}.json").body)
        told = " ".join((found["why"], *found["details"]))
        shown = place.page.get(f"/jobs/{job_id}").body.decode()
        wrong += [(name, told) for one in says if one not in told]
        answer = engine.run(why("shop", job_id))
        assert numberless(answer.sentence) == numberless(found["why"])
        assert numberless(answer.sentence) in numberless(html.unescape(shown))
    assert wrong == []


def numberless(text: str) -> str:
    return re.sub(r"\d+\w*", "#", text)


def test_j2_nobody_is_there_to_ask(tmp_path: Path) -> None:
    app = dutiful.App("shop", f"sqlite:///{tmp_path / 'alone.db'}")
    declare(app, "plain")
    app.engine.migrate()
    job_id = app.tasks["plain"].enqueue("k").id
    page = Shop(app, {}).page()
    text = page.get(f"/jobs/{job_id}").body.decode()
    assert "no live worker takes queue" in text and "Start one: dutiful worker -q default" in text
    page.site.close()
    app.close()
