"""Whatever producers, workers, people and chores can do in a store, each write noted as a step of a history.

Also what happens to the files: checkpoints, readers that hold the log open, all connections closed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.effects import Terms
from dutiful.model.errors import StateError
from dutiful.model.jobs import Lane, Lease
from dutiful.operations import (
    claims,
    doubts,
    effects,
    enqueue,
    lanes,
    people,
    retention,
    settle,
    starts,
    workers,
    works,
)
from dutiful.operations.plan import Operation
from dutiful.sql import sqlite_names
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import DAY, KNOWN, World, ending
from tests.powerloss.history import History, Step
from tests.powerloss.looking import all_rows, made_at, writer
from tests.powerloss.recording import Recording

CHECKPOINTS = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")
MOMENT = SECOND // 1000
TERMS = Terms.of("call", remembered="24h")


class Teller(World):
    """A world whose every write is a step of the history."""

    def __init__(self, engine: SqliteEngine, layer: Recording, history: History, seed: int) -> None:
        super().__init__(engine)
        self.store = engine
        self.layer = layer
        self.history = history
        self.chance = random.Random(seed)
        self.reader: Any = None
        self.leases: list[Lease] = []
        self.workers: list[int] = []
        self.children: list[int] = []

    def run(self, operation: Operation[Any]) -> Any:
        if operation.reads:
            return super().run(operation)
        self.clock.advance(MOMENT)
        begun = len(self.layer.events)
        result = super().run(operation)
        kept = result.what == "stored" if isinstance(result, starts.Start) else result is not None
        self.told(operation.name, begun, operation.durable and kept)
        return result

    def told(self, name: str, begun: int, durable: bool = False) -> None:
        at = len(self.layer.events)
        self.history.steps.append(Step(name, begun, at, all_rows(writer(self.store)), durable))

    def make(self) -> None:
        """The first step: the store is made."""
        self.store.migrate()
        self.told("migrate", 0)
        self.history.made_at = made_at(writer(self.store))
        begun = len(self.layer.events)
        self.sql("CREATE TABLE receipts (job_id text NOT NULL)")
        self.told("a table of the user's", begun)

    # ── what can happen ─────────────────────────────────────────────────────────────────────

    def enqueue_one(self) -> None:
        key = self.chance.choice((None, f"k{self.chance.randrange(12)}", f"n{self.chance.randrange(10**9)}"))
        options = {"again": "once more", "actor": "ann"} if key and self.chance.random() < 0.5 else {}
        self.enqueue(key, queue=self.chance.choice(("default", "slow")), **options)

    def enqueue_many(self) -> None:
        args = '{"n":"' + "x" * self.chance.choice((1, 1, 3000)) + '"}'
        count = self.chance.randrange(2, 15)
        names = [f"m{self.chance.randrange(10**9)}" if n % 2 else None for n in range(count)]
        self.run(enqueue.many(APP, [new(name, args) for name in names]))

    def register(self) -> None:
        self.workers.append(self.worker())

    def take(self) -> None:
        worker = self._worker()
        known = {lease.job_id for lease in self.leases}
        found = self.claim(worker, self.chance.randrange(1, 6), promote=self.chance.random() < 0.5)
        self.leases += [lease for lease in found if lease.job_id not in known]

    def end_one(self) -> None:
        verb = self.chance.choice(("complete", "complete", "fail", "bury", "snooze", "release"))
        self.end_with(verb)

    def end_with(self, verb: str) -> None:
        self._need_leases(1)
        if self.leases:
            self.end(self.leases.pop(self.chance.randrange(len(self.leases))), verb)

    def work(self) -> None:
        """An exactly_once run: the body's row, the ledger's and the ending, in one transaction."""
        self.enqueue(f"w{self.chance.randrange(10**9)}", delivery="exactly_once", queue="work")
        [lease] = self.claim(self._worker(), 1, "work")
        begun = len(self.layer.events)
        work = self.store.work()
        work.begin()
        try:
            work.run(works.begin_work(APP, lease))
            work.raw.execute("INSERT INTO receipts (job_id) VALUES (?)", (lease.job_id,))
            assert work.run(works.finish_work(APP, lease, b"1", elsewhere=False))
            work.commit()
        finally:
            work.rollback()
        self.told("work", begun)

    def start(self) -> None:
        """An at_most_once run: its start outlasts everything, also where other commits need not."""
        self.enqueue(f"s{self.chance.randrange(10**9)}", delivery="at_most_once", queue="starts")
        [lease] = self.claim(self._worker(), 1, "starts")
        begun = self.run(starts.start(APP, lease)).what == "stored"
        if begun and self.chance.random() < 0.7:
            self.end(lease, self.chance.choice(("complete", "bury")))

    def effect(self) -> None:
        """A call to the world outside: that it is to be made outlasts everything, its answer need not."""
        self._need_leases(1)
        if not self.leases:
            return
        lease = self.chance.choice(self.leases)
        duty, name = lease.key or lease.job_id, f"call {self.chance.randrange(10**9)}"
        caller = effects.Caller(APP, lease.task, duty, name, f"key of {name}", lease.job_id, lease.token)
        tries = self.run(effects.intend(caller, TERMS, None))
        answer = self.chance.choice(("settled", "refused", "none"))
        if answer == "settled":
            self.run(effects.settle(caller, tries, b"1"))
        elif answer == "refused":
            self.run(effects.end_call(caller, tries, "no", refused=True))

    def end_some(self) -> None:
        """Endings of several kinds in one batch."""
        self._need_leases(3)
        verbs = ("complete", "fail", "bury", "snooze", "release")
        batch = [ending(lease, self.chance.choice(verbs)) for lease in self.leases[:5]]
        del self.leases[:5]
        if batch:
            self.run(settle.settle(batch, 1))

    def waive(self) -> None:
        self._by_hand(doubts.waive, "SELECT id FROM dutiful.dead")

    def unwaive(self) -> None:
        self._by_hand(doubts.unwaive, "SELECT id FROM dutiful.history WHERE outcome = 'waived'")

    def retry(self) -> None:
        self._by_hand(people.retry, "SELECT id FROM dutiful.dead UNION SELECT id FROM dutiful.history")

    def cancel(self) -> None:
        self._by_hand(people.cancel, "SELECT id FROM dutiful.job WHERE state = 'ready'")

    def beat(self) -> None:
        self.run(workers.beat([self._worker()], '{"1":5}'))

    def sweep(self) -> None:
        asked = [Lane(lane.id, 10**9) for lane in self.lanes()]
        self.run(claims.sweep(asked, KNOWN))

    def declare(self) -> None:
        name = f"q{self.chance.randrange(9)}"
        self.run(lanes.declare(APP, [(name, self.chance.randrange(3))], [(name, 60 * SECOND)]))

    def die_in_company(self) -> None:
        """A worker dies, and what it held becomes suspect."""
        worker = self._worker()
        self._need_leases(1)
        self.workers.remove(worker)
        self.die(worker)

    def suspect_alone(self) -> None:
        child = self.worker(alone=True, parent=self._worker())
        lease = self.claim_suspect(child)
        if lease is not None and self.chance.random() < 0.5:
            self.run(workers.report_dead(child))
        elif lease is not None:
            self.leases.append(lease)

    def leave(self) -> None:
        worker = self._worker()
        self.workers.remove(worker)
        self.run(workers.leave(worker))

    def turn(self) -> None:
        self.run(workers.turn("sweep", 1))

    def prune(self) -> None:
        self.clock.advance(self.chance.randrange(4) * DAY)
        self.run(retention.prune(2 * DAY))
        for what in retention.RUNS:
            self.run(retention.prune_runs(what, 2 * DAY))
        self.run(retention.prune_duties(retention.START))

    def later(self) -> None:
        self.clock.advance(self.chance.randrange(1, 60) * SECOND)

    # ── what happens to the files ───────────────────────────────────────────────────────────

    def checkpoint(self) -> None:
        """In one of SQLite's own ways; a reader may keep it from all it wants."""
        second = self.store._driver.connect(self.store.path, timeout_s=0)
        try:
            second.execute(f"PRAGMA synchronous = {self.history.mode}")
            with suppress(Exception):  # busy: then it has copied what it could
                second.execute(f"PRAGMA wal_checkpoint({self.chance.choice(CHECKPOINTS)})")
        finally:
            second.close()

    def by_itself(self) -> None:
        """SQLite copies after a commit, by itself."""
        writer(self.store).execute(f"PRAGMA wal_autocheckpoint = {self.chance.choice((5, 40, 1000))}")

    def read_on(self) -> None:
        """A reader begins, or ends."""
        if self.reader is None:
            self.reader = self.store._driver.connect(self.store.path, timeout_s=0)
            self.reader.execute("BEGIN")
            self.reader.execute("SELECT count(*) FROM main.dutiful_job")
        else:
            self.end_reader()

    def end_reader(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def reopen(self) -> None:
        """All connections are closed: SQLite copies the log back and deletes it."""
        self.end_reader()
        self.store.close()

    # ── small words ─────────────────────────────────────────────────────────────────────────

    def sql(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        """By the writer: a connection more would keep the log from being deleted."""
        return writer(self.store).execute(sqlite_names(text))

    def _worker(self) -> int:
        if not self.workers:
            self.register()
        return self.chance.choice(self.workers)

    def _need_leases(self, count: int) -> None:
        if len(self.leases) < count:
            if len(self.sql("SELECT id FROM dutiful.job WHERE state = 'ready'")) < count:
                self.enqueue_many()
            self.take()

    def _by_hand(self, verb: Callable[..., Operation[Any]], which: str) -> None:
        found = sorted(row[0] for row in self.sql(which))
        if found:
            with suppress(StateError):  # not in a state for it, or its duty is another's now
                self.run(verb(APP, self.chance.choice(found), actor="ann", reason="asked"))
