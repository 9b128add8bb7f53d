"""The machine: what users and people do through the public API, on both stores and in the model at once.

Each step is carried out on every store, the answers are compared with each other and with the model's,
and then all rows: what they say of each job, and what stands in the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import dutiful.app.bulk
import dutiful.app.task
from dutiful import testing
from dutiful.app.app import App
from dutiful.engines.postgres import PostgresEngine
from dutiful.model.ids import IdMaker
from dutiful.model.jobs import Lane, NewWorker
from dutiful.operations import (
    claims,
    doubts,
    inspect,
    lanes,
    people,
    retention,
    starts,
    verify,
    workers,
)
from dutiful.operations.plan import Operation
from dutiful.sql import sqlite_names
from tests.stateful.model import SECOND, Job, Model, Refused
from tests.stateful.shop import KEEP_S, PLANS, REMEMBER_S, TASKS, WORK, make_app

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
WHO: dict[str, Any] = {"actor": "ann", "reason": "because"}

TABLES: dict[str, tuple[str, ...]] = {
    "job": ("token", "last_token", "ready_seq", "worker", "lane"),
    "dead": ("last_token", "worker", "lane"),
    "history": ("last_token", "worker", "lane"),
    "duty": (),
    "failure": ("worker", "traceback"),
    "audit": ("id",),
    "ledger": ("token",),
}
"""What is compared, and the columns that are each store's own: of them only whether there is something."""

tasks = st.sampled_from(TASKS)
numbers = st.integers(0, 3)
plans = st.sampled_from(PLANS)
notes = st.sampled_from(("", "", "", "other"))
waits = st.sampled_from((0, 0, 0, 1, 15))
seldom = st.sampled_from((False,) * 5 + (True,))
picks = st.integers(0, 1_000)


class Store:
    """One store with its app."""

    def __init__(self, url: str) -> None:
        self.clock = testing.Clock(START)
        self.app: App
        self.app, self.tasks = make_app(url, self.clock)
        self.postgres = isinstance(self.app.engine, PostgresEngine)
        self.url = url
        self.app.migrate()
        self.eye: Any = self.connect()
        self.eye.execute(f"CREATE TABLE IF NOT EXISTS {WORK} (duty text, job text)")
        self.eye.commit()

    def connect(self) -> Any:
        """A connection as a caller has one."""
        if self.postgres:
            return psycopg.connect(self.app.engine.conninfo)  # type: ignore[attr-defined]
        return sqlite3.connect(self.app.engine.path)  # type: ignore[attr-defined]

    def run(self, operation: Operation[Any]) -> Any:
        return self.app.engine.run(operation)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        text = sql if self.postgres else sqlite_names(sql)
        found = self.eye.execute(text).fetchall()
        self.eye.rollback()
        return list(found)

    def begin_anew(self) -> None:
        """Nothing is there; the time is START."""
        names = [*TABLES, "lane", "queue", "worker", "chore", "effect"]
        for name in (*(f"dutiful.{name}" for name in names), WORK):
            self.eye.execute(
                (f"DELETE FROM {name}") if self.postgres else sqlite_names(f"DELETE FROM {name}")
            )
        self.eye.commit()
        self.clock.us = round(START.timestamp() * SECOND)

    def table(self, name: str) -> list[tuple[Any, ...]]:
        """All rows, as they are on any store."""
        columns = self._columns(name)
        rows = self.rows(f"SELECT {', '.join(columns)} FROM dutiful.{name}")
        own = [columns.index(column) for column in TABLES[name]]
        return sorted((self._plain(row, own) for row in rows), key=repr)

    def _columns(self, name: str) -> list[str]:
        known: dict[str, list[str]] = self.__dict__.setdefault("_known", {})
        if name not in known:
            if self.postgres:
                sql = (
                    "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'dutiful'"
                    f" AND table_name = '{name}' ORDER BY 1"
                )
            else:
                sql = f"SELECT name FROM pragma_table_info('dutiful_{name}') ORDER BY 1"
            known[name] = [row[0] for row in self.rows(sql)]
        return known[name]

    @staticmethod
    def _plain(row: tuple[Any, ...], own: list[int]) -> tuple[Any, ...]:
        values: list[Any] = []
        for at, value in enumerate(row):
            if at in own:
                values.append(value is not None)
            elif isinstance(value, bytes | memoryview):
                values.append(bytes(value).decode())
            elif isinstance(value, bool):
                values.append(int(value))
            else:
                values.append(value if value is None or isinstance(value, int) else str(value))
        return tuple(values)

    def close(self) -> None:
        self.eye.close()
        self.app.close()


class Machine(RuleBasedStateMachine):
    """Subclasses say on which stores."""

    stores: list[Store]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        chance = iter(range(1, 1 << 60))
        self._ids = IdMaker(lambda: self.model.now * 1000, lambda size: next(chance).to_bytes(size, "big"))
        self._at: Store = self.stores[0]

    @initialize()
    def start(self) -> None:
        for store in self.stores:
            store.begin_anew()
        self.model.now = self.stores[0].clock.us

    # ── on all of them ──────────────────────────────────────────────────────────────────────

    def each(self, call: Callable[[Store], Any]) -> Any:
        """The answer of every store, or the name of what it raised; they agree."""
        answers = []
        for store in self.stores:
            try:
                answers.append(call(store))
            except Exception as error:
                answers.append(Refused(type(error).__name__))
        first = answers[0]
        for other in answers[1:]:
            assert repr(first) == repr(other), f"the stores disagree: {first!r} and {other!r}"
        if isinstance(first, Refused):
            return str(first)
        return first

    def agree(self, seen: Any, wanted: Any) -> None:
        """The stores and the model."""
        assert seen == wanted, f"the stores say {seen!r}, the model {wanted!r}"

    def time_passes_a_little(self) -> None:
        """Two endings of one job are never of the same microsecond, in which nobody cancels twice."""
        for store in self.stores:
            store.clock.us += 1
        self.model.now += 1

    def expected(self, call: Callable[[], Any]) -> Any:
        """What the model says."""
        try:
            return call()
        except Refused as refused:
            return str(refused)

    @contextmanager
    def ids(self, *ids: str) -> Iterator[None]:
        """Within, the app makes these job ids, on each store anew."""
        one, many = dutiful.app.task.make_id, dutiful.app.bulk.LaterIds
        made = {id(store): iter(ids) for store in self.stores}

        def later(count: int) -> Any:
            return [next(made[id(self._at)]) for _ in range(count)]

        dutiful.app.task.make_id, dutiful.app.bulk.LaterIds = lambda: later(1)[0], later  # type: ignore
        try:
            yield
        finally:
            dutiful.app.task.make_id, dutiful.app.bulk.LaterIds = one, many  # type: ignore

    def told(self, store: Store, handle: Any) -> tuple[str, bool]:
        return handle.id, handle.duplicate

    def job(self, pick: int) -> Job:
        known = list(self.model.jobs.values())
        return known[pick % len(known)]

    # ── producers ───────────────────────────────────────────────────────────────────────────

    @rule(
        task=tasks,
        n=numbers,
        plan=plans,
        note=notes,
        wait=waits,
        again=seldom,
        on_duplicate=st.sampled_from(("raise", "raise", "keep", "replace")),
    )
    def enqueue(
        self, task: str, n: int, plan: str, note: str, wait: int, again: bool, on_duplicate: str
    ) -> None:
        id = self._ids.make()
        options: dict[str, Any] = {"on_duplicate": on_duplicate}
        if wait:
            options["run_in"] = wait
        if again:
            options |= {"again": "once more", "actor": "ann"}

        def store_it(store: Store) -> tuple[str, bool]:
            self._at = store
            return self.told(store, store.tasks[task].using(**options).enqueue(n, plan, note))

        with self.ids(id):
            answer = self.each(store_it)
        options = {"run_in_s": wait, "on_duplicate": on_duplicate, "again": again}
        self.agree(answer, self.expected(lambda: self.model.enqueue(id, task, n, plan, note, **options)))

    @rule(pick=picks)
    @precondition(lambda self: self.model.jobs)
    def enqueue_the_same_id(self, pick: int) -> None:
        job = self.job(pick)
        duty = self.model.duties.get((job.task, job.duty))
        if job.key is not None and (duty is None or duty.job is not job):
            return  # another holds the duty: whose it is then is the contract tests' to ask
        if job.state == "pruned":
            return  # nobody remembers the id
        answer = self.each(
            lambda store: self.told(store, store.tasks[job.task].using(id=job.id).enqueue(*job.args))
        )
        self.agree(answer, (job.id, True))

    @rule(task=tasks, given=st.lists(st.tuples(numbers, plans), min_size=1, max_size=5))
    def enqueue_many(self, task: str, given: list[tuple[int, str]]) -> None:
        ids = [self._ids.make() for _ in given]
        copy = _Copy(self.model)
        wanted = self.expected(lambda: self.model.enqueue_many(ids, task, given))
        if isinstance(wanted, str):
            copy.restore(self.model)

        def store_them(store: Store) -> list[tuple[str, bool]]:
            self._at = store
            return [self.told(store, one) for one in store.app.enqueue_many(store.tasks[task], given)]

        with self.ids(*ids):
            self.agree(self.each(store_them), wanted)

    @rule(task=tasks, n=numbers, plan=plans, commits=st.booleans())
    def enqueue_with_the_caller(self, task: str, n: int, plan: str, commits: bool) -> None:
        """In the caller's transaction, which is committed or not."""
        id = self._ids.make()

        def store_it(store: Store) -> tuple[str, bool]:
            self._at = store
            with _closing(store.connect()) as connection:
                connection.execute(f"INSERT INTO {WORK} VALUES ('caller', NULL)")
                told = self.told(store, store.tasks[task].using(connection=connection).enqueue(n, plan))
                connection.commit() if commits else connection.rollback()
            return told

        with self.ids(id):
            answer = self.each(store_it)
        copy = _Copy(self.model)
        self.agree(answer, self.expected(lambda: self.model.enqueue(id, task, n, plan, "")))
        if not commits:
            copy.restore(self.model)
        elif not isinstance(answer, str):
            self.model.works["caller"] = self.model.works.get("caller", 0) + 1

    # ── time and workers ────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from((1, 5, 10, 20, 60, REMEMBER_S + 1, KEEP_S + 1)))
    def time_passes(self, seconds: int) -> None:
        for store in self.stores:
            store.clock.us += seconds * SECOND
        self.model.now += seconds * SECOND

    @rule()
    def run_all(self) -> None:
        def run(store: Store) -> list[tuple[str, int, int, str]]:
            return sorted((o.job_id, o.run_no, o.attempt, o.verb) for o in testing.run_all(store.app))

        self.agree(self.each(run), self.model.run_all())

    @rule(begins=st.booleans())
    def a_worker_dies(self, begins: bool) -> None:
        """It claims what is due, begins at_most_once bodies or not, and is found dead."""

        def crash(store: Store) -> list[str]:
            row = NewWorker("shop", "host", 1, 30 * SECOND, 10, "[]", "{}")
            me = store.run(workers.register(row))
            asked = [Lane(lane.id) for lane in store.run(lanes.lanes("shop"))]
            taken = []
            while True:
                reply = store.run(claims.claim(me, asked, store.app.known(), 100, promote=True))
                taken += reply.leases
                if not reply.leases and not reply.promoted:
                    break
            for lease in taken:
                if lease.task == "most" and begins:
                    store.run(starts.start("shop", lease))
            store.run(workers.bury([me], silent=False))
            store.run(workers.lapse())
            return sorted(lease.job_id for lease in taken)

        self.agree(self.each(crash), self.model.crash(begins))

    @rule()
    def forget(self) -> None:
        def prune(store: Store) -> None:
            while store.run(retention.prune(store.app.keep_us)):
                pass
            for what in retention.RUNS:
                store.run(retention.prune_runs(what, store.app.keep_us))
            store.run(retention.prune_duties(retention.START))

        self.each(prune)
        self.model.prune()

    # ── people ──────────────────────────────────────────────────────────────────────────────

    def person(self, pick: int, verb: str, operation: Callable[[Job], Operation[Any]]) -> None:
        job = self.job(pick)
        if job.state == "pruned":
            expected: Any = "JobNotFound"
        else:
            expected = self.expected(lambda: getattr(self.model, verb)(job))

        def act(store: Store) -> None:
            store.run(operation(job))

        self.agree(self.each(act), expected)
        self.time_passes_a_little()

    @rule(pick=picks)
    @precondition(lambda self: self.model.jobs)
    def cancel(self, pick: int) -> None:
        self.person(pick, "cancel", lambda job: people.cancel("shop", job.id, **WHO))

    @rule(pick=picks)
    @precondition(lambda self: self.model.jobs)
    def retry(self, pick: int) -> None:
        def again(job: Job) -> Operation[Any]:
            task = self.stores[0].tasks[job.task]
            made = task.using(remember=REMEMBER_S).new_job(job.args, {})
            return people.retry("shop", job.id, args_hash=made.args_hash, remember_us=made.remember_us, **WHO)

        self.person(pick, "retry", again)

    @rule(pick=picks)
    @precondition(lambda self: self.model.jobs)
    def waive(self, pick: int) -> None:
        self.person(pick, "waive", lambda job: doubts.waive("shop", job.id, **WHO))

    @rule(pick=picks)
    @precondition(lambda self: self.model.jobs)
    def unwaive(self, pick: int) -> None:
        self.person(pick, "unwaive", lambda job: doubts.unwaive("shop", job.id, **WHO))

    @rule(pick=picks)
    @precondition(lambda self: any(job.state == "in_doubt" for job in self.model.jobs.values()))
    def decide(self, pick: int) -> None:
        found = [job for job in self.model.jobs.values() if job.state == "in_doubt"]
        job = found[pick % len(found)]
        at = list(self.model.jobs.values()).index(job)
        if pick % 2:
            self.person(at, "confirm", lambda job: doubts.confirm("shop", job.id, **WHO))
        else:
            self.person(at, "refute", lambda job: doubts.refute("shop", job.id, accept_risk=True, **WHO))

    # ── what must be so after each step ─────────────────────────────────────────────────────

    @invariant()
    def jobs_are_as_the_model_says(self) -> None:
        for job in self.model.jobs.values():
            seen = self.each(lambda store, job=job: _seen(store.app.handle(job.id).job()))  # type: ignore[misc]
            if job.state == "pruned":
                self.agree(seen, "JobNotFound")
                continue
            run_at = job.run_at if job.state == "ready" else None
            wanted = (job.state, job.outcome, job.reason, job.key, job.epoch, job.run_no, job.attempt, run_at)
            self.agree(seen, (*wanted, job.args))

    @invariant()
    def stores_hold_the_same(self) -> None:
        first, *others = self.stores
        for name in TABLES:
            rows = first.table(name)
            for other in others:
                assert rows == other.table(name), f"table {name}"

    @invariant()
    def all_else_is_so(self) -> None:
        done = f"SELECT duty, count(*) FROM {WORK} GROUP BY duty"
        self.agree(dict(self.each(lambda store: sorted(store.rows(done)))), self.model.works)
        self.agree(self.each(lambda store: store.run(verify.check(None, full=True))), [])
        duties = {(row.job.task, name[1]): (row.job.id, row.epoch) for name, row in self.model.duties.items()}
        seen = self.each(
            lambda store: sorted(
                store.rows("SELECT task, key, CAST(job_id AS text), epoch FROM dutiful.duty")
            )
        )
        self.agree({(task, key): (job, epoch) for task, key, job, epoch in seen}, duties)
        told = sorted(self.model.audits)
        audits = self.each(lambda store: sorted(store.rows("SELECT verb, subject FROM dutiful.audit")))
        self.agree([tuple(row) for row in audits], told)


def _seen(job: inspect.JobView) -> tuple[Any, ...]:
    args = json.loads(job.args)
    run_at = job.run_at_us if job.state == "ready" else None
    numbers = job.key, job.epoch, job.run_no, job.attempt, run_at
    return (job.state, job.outcome, job.reason, *numbers, (args["n"], args["plan"], args.get("note", "")))


@contextmanager
def _closing(connection: Any) -> Iterator[Any]:
    try:
        yield connection
    finally:
        connection.close()


class _Copy:
    """The model as it was, should what follows be taken back."""

    def __init__(self, model: Model) -> None:
        import copy

        self._kept = copy.deepcopy(model.__dict__)

    def restore(self, model: Model) -> None:
        model.__dict__.update(self._kept)
