"""One example of every operation, on a store in which there is something of every kind."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

import dutiful.operations
from dutiful.engines.contract import Engine
from dutiful.engines.ledgers import PARTS
from dutiful.model.effects import EffectRow, Terms
from dutiful.model.gates import Gate
from dutiful.model.ids import make_id, make_ids
from dutiful.model.jobs import Ending, Failure, Lane, Lease, NewJob, NewWorker
from dutiful.model.locks import LockAsk
from dutiful.model.schedules import Missed, Spec, occurrence_key
from dutiful.operations import (
    acks,
    actions,
    alerts,
    attention,
    audit,
    books,
    bulk,
    claims,
    dead,
    dead_sets,
    doubts,
    edits,
    effects,
    enqueue,
    gate_views,
    gates,
    glance,
    groups,
    health,
    lanes,
    ledger,
    locks,
    metrics,
    numbers,
    page_deeds,
    page_reads,
    pages,
    people,
    queues,
    registry,
    retention,
    schedule_verbs,
    schedules,
    settle,
    starts,
    timeline,
    traces,
    turns,
    verify,
    watchers,
    why,
    workers,
    works,
)
from dutiful.operations import inspect as looks
from dutiful.operations.plan import Operation
from tests.crash.drill_examples import EXAMPLES as DRILLS
from tests.crash.drill_examples import prepare as prepare_drills
from tests.crash.reconcile_examples import EXAMPLES as RECONCILE
from tests.crash.reconcile_examples import prepare

APP = "shop"
KNOWN = {"t": 1}
FOUND = verify.Finding("lane", "1 job", [{"id": "x"}], 1)
RATE = Gate("rate", "host", 0, per_us=10**9, burst=2)
RATE_OF_NOW = Gate("rate", "not waited for", 0, per_us=1, burst=1)
TERMS = Terms.of("open", remembered="1d")


def job(**more: Any) -> NewJob:
    """A job to be, due at once unless said otherwise."""
    return NewJob(id=make_id(), task="t", queue="q", priority=0, args=b'{"n":1}', args_hash="h", **more)


def gated(gate: str, **more: Any) -> NewJob:
    """One with an order and a lock of that name; the first of each goes through at once."""
    return job(gates=(Gate("order", gate, 1), Gate("lock", gate, 1)), **more)


def worker(**more: Any) -> NewWorker:
    return NewWorker(APP, "host", 1, 30_000_000, 1, '["q"]', '{"t":1}', **more)


def declared(name: str, every_s: int = 1, missed: Missed = "run_all") -> schedules.Declared:
    """A schedule as a program has it."""
    spec = Spec("t", every_us=every_s * 1_000_000, missed=missed, grace_us=0)
    return schedules.Declared(name, spec, lambda at: job(key=occurrence_key(name, at)))


def lock_ask(token: str, name: str = "l") -> LockAsk:
    return LockAsk(APP, name, token, 1, 30_000_000, "me", True)


@dataclass
class World:
    """What an example may act on."""

    engine: Engine
    me: int = 0
    alone: int = 0
    gone: int = 0
    lane: Lane = field(default_factory=lambda: Lane(1))
    leases: list[Lease] = field(default_factory=list)
    lone: Lease | None = None
    ready: str = ""
    dead: str = ""
    keyed: str = ""
    cancelled: str = ""
    lost: str = ""
    begun: Lease | None = None
    cut: str = ""
    called: str = ""
    waived: str = ""
    waits: int = 0
    bulk: str = ""
    discard: str = ""
    given: str = ""
    back: str = ""
    passes: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        run = self.engine.run
        run(lanes.declare(APP, [("q", 0)], [("q", 60_000_000), ("limited", None)], {"limited": 3}))
        self.lane = Lane(run(lanes.lanes(APP))[0].id)
        self.me, self.gone = run(workers.register(worker())), run(workers.register(worker()))
        self.alone = run(workers.register(worker(alone=True, parent=self.me)))
        ids = [gated("dead", key="dead"), gated("lost"), gated("cancelled", key="cancelled"), job()]
        run(enqueue.many(APP, ids))
        first = run(claims.claim(self.me, [self.lane], KNOWN, 1)).leases
        run(settle.settle([self._bury(first[0])], self.me))
        self.dead = first[0].job_id
        [lost] = run(claims.claim(self.gone, [self.lane], KNOWN, 1)).leases
        self.lost = lost.job_id
        self.cancelled = ids[2].id
        run(people.cancel(APP, self.cancelled, actor="ann"))
        run(enqueue.many(APP, [gated(f"k{n}", key=f"k{n}") for n in range(6)]))
        self.leases = run(claims.claim(self.me, [self.lane], KNOWN, 5)).leases
        [self.lone] = run(claims.claim(self.alone, [self.lane], KNOWN, 1)).leases
        run(effects.intend(self.caller(), TERMS, None))
        run(turns.take("", "used", None))
        last = [job(key="keyed"), job(), job(delay_us=10**12)]
        run(enqueue.many(APP, last))
        self.keyed, self.ready = last[0].id, last[1].id
        run(locks.ask(lock_ask("held")))
        run(locks.ask(lock_ask("waits")))
        self._doubts()
        names = ["dead", "lost", "cancelled", *(f"k{n}" for n in range(6)), *(f"d{n}" for n in range(4))]
        run(enqueue.many(APP, [gated(name) for name in names]))  # each waits behind one of those above
        wide = Gate("lock", "wide", 1)
        run(enqueue.many(APP, [job(gates=(wide,)), job(gates=(wide,))]))
        run(enqueue.one(APP, job(gates=(replace(wide, slots=2),))))  # one waits though a place is free now
        run(enqueue.one(APP, job(gates=(Gate("lock", "later", 1),), run_at_us=None, delay_us=1)))
        run(enqueue.many(APP, [job(gates=(RATE,)) for _ in range(3)]))
        run(gates.grant(run(gates.busy_rates())[0]))
        self._schedules()
        self._bulks()
        self.passes = prepare(self)
        prepare_drills(self)
        self._idle_gate(ids[0])

    def _schedules(self) -> None:
        """Schedules of which occurrences are due, one that nobody declares, one that is paused."""
        run, clock = self.engine.run, self.engine.clock
        left = declared("left", missed="people")
        mine = [declared("due"), declared("late", missed="people"), declared("paused")]
        leaver, now = run(workers.register(worker())), run(health.now())
        try:
            self.engine.clock = lambda: now - 5_000_000
            run(schedules.declare(APP, self.me, mine))
            run(schedules.declare(APP, leaver, [left]))
            self.engine.clock = lambda: now - 2_500_000
            run(schedules.fire(APP, left))
            run(schedule_verbs.pause(APP, "paused", actor="ann", reason="looking"))
        finally:
            self.engine.clock = clock
        run(workers.leave(leaver))
        self.waits = run(schedule_verbs.waiting(APP))["left"][1]

    def _idle_gate(self, there: NewJob) -> None:
        """A gate that was made hours ago for a job that was not stored."""
        clock, now = self.engine.clock, self.engine.run(health.now())
        try:
            self.engine.clock = lambda: now - 3 * gates.FRESH_US
            self.engine.run(enqueue.one(APP, replace(there, gates=(Gate("lock", "idle", 1),))))
        finally:
            self.engine.clock = clock

    def _doubts(self) -> None:
        """One body that has begun for good, one that was cut off, a call without an answer, a waiver."""
        run = self.engine.run
        run(enqueue.many(APP, [replace(gated(f"d{n}", key=f"d{n}"), queue="d") for n in range(4)]))
        [lane] = [Lane(one.id) for one in run(lanes.lanes(APP)) if one.queue == "d"]
        [self.begun] = run(claims.claim(self.gone, [lane], KNOWN, 1)).leases
        cut, called, waived = run(claims.claim(self.me, [lane], KNOWN, 3)).leases
        for lease in (self.begun, cut, waived):
            run(starts.start(APP, lease))
        run(effects.intend(self._caller(called, "pay"), TERMS, None))
        run(effects.end_call(self._caller(called, "pay"), 1, "no answer", refused=False))
        run(settle.settle([self._cut(cut), self._cut(waived), self._cut(called, verb="doubt")], self.me))
        self.cut, self.called, self.waived = cut.job_id, called.job_id, waived.job_id
        run(doubts.waive(APP, self.waived, actor="ann", reason="enough"))

    def _bulks(self) -> None:
        """A bulk retry, a discard, one that is done, and one that takes it back."""
        run = self.engine.run
        run(enqueue.one(APP, replace(job(key="given"), queue="given")))
        [lane] = [Lane(one.id) for one in run(lanes.lanes(APP)) if one.queue == "given"]
        [lease] = run(claims.claim(self.me, [lane], KNOWN, 1)).leases
        run(settle.settle([self._bury(lease)], self.me))
        run(acks.acknowledge(APP, "seen", actor="ann", note_text="known"))
        given = bulk.Wanted(ids=(lease.job_id,))
        self.given = run(bulk.begin(APP, "discard", given, actor="ann", reason="r")).id
        run(bulk.step(self.given, "w"))
        self.back = run(bulk.undo(APP, self.given, actor="ann")).id
        self.bulk = run(bulk.begin(APP, "retry", bulk.Wanted(), actor="ann", reason="r")).id
        self.discard = run(bulk.begin(APP, "discard", bulk.Wanted(), actor="ann", reason="r")).id

    def cut_off(self) -> Ending:
        """The ending of the body that has begun for good."""
        assert self.begun is not None
        return self._cut(self.begun)

    @staticmethod
    def _cut(lease: Lease, verb: Any = "release") -> Ending:
        said = Failure("Killed", "cut off")
        started = verb == "release"
        return Ending(
            verb, lease.job_id, lease.token, lease.run_no, reason="cut off", failure=said, started=started
        )

    @staticmethod
    def _caller(lease: Lease, name: str) -> effects.Caller:
        return effects.Caller(
            APP, "t", lease.key or lease.job_id, name, f"key of {name}", lease.job_id, lease.token
        )

    def caller(self, name: str = "open") -> effects.Caller:
        """An effect of a run that is under way; that called "open" was called and not answered."""
        assert self.lone is not None
        return self._caller(self.lone, name)

    def seen(self) -> EffectRow:
        """The open effect."""
        row = self.engine.run(effects.look(self.caller())).row
        assert row is not None
        return row

    @staticmethod
    def _bury(lease: Lease) -> Ending:
        said = Failure("E", "m", "t")
        return Ending("bury", lease.job_id, lease.token, lease.run_no, reason="error", failure=said)

    def told(self) -> alerts.Taken:
        """A message that somebody is about to send."""
        self.engine.run(alerts.declare(APP, {"told": "webhook"}))
        self.engine.run(alerts.watch(APP))
        return self.engine.run(alerts.take(APP, ["told"], 1))[0]

    def endings(self) -> list[Ending]:
        """Every way for a run to end, in one batch."""
        a, b, c, d, e = self.leases
        said = Failure("E", "m", "t")
        return [
            Ending("complete", a.job_id, a.token, a.run_no, result=b"1"),
            Ending("fail", b.job_id, b.token, b.run_no, delay_us=10, failure=said),
            self._bury(c),
            Ending("snooze", d.job_id, d.token, d.run_no, delay_us=10**9, charged=False),
            Ending("release", e.job_id, e.token, e.run_no, begun=False, charged=False),
        ]

    def too_late(self) -> list[Ending]:
        """One is skipped, with another in its place; one is dead."""
        a, b = self.leases[:2]
        said = Failure("TooLate", "m")
        return [
            Ending("skip", a.job_id, a.token, a.run_no, begun=False, app=APP, follow=job(key="instead")),
            Ending("expire", b.job_id, b.token, b.run_no, begun=False, reason="stale", failure=said),
        ]


Example = Callable[[World], Operation[Any]]

# An operation that goes several ways has several, each with the way after its name.
EXAMPLES: dict[str, Example] = {
    "acks.acknowledge": lambda w: acks.acknowledge(APP, "queue:q", actor="ann", note_text="known"),
    "acks.listed": lambda w: acks.listed(APP),
    "acks.of": lambda w: acks.of(APP, "queue:q"),
    "acks.take": lambda w: acks.take(APP, "queue:q", actor="ann", owner="ann"),
    "acks.withdraw": lambda w: acks.withdraw(APP, "seen", actor="ann"),
    "actions.act": lambda w: actions.act(
        APP, "cancel", people.cancel(APP, w.keyed, actor="ann"), actions.Action("ann", id="act"), str
    ),
    "actions.forget": lambda w: actions.forget(),
    "actions.guarded": lambda w: actions.guarded(
        APP, "cancel", w.keyed, actions.Seen("ready"), people.cancel(APP, w.keyed, actor="ann")
    ),
    "alerts.channels": lambda w: alerts.channels(APP),
    "alerts.declare": lambda w: alerts.declare(APP, {"new": "webhook"}),
    "alerts.failed": lambda w: alerts.failed(APP, w.told(), "no"),
    "alerts.forget": lambda w: alerts.forget(APP),
    "alerts.hold": lambda w: alerts.hold(w.told(), 2**60),
    "alerts.messages": lambda w: alerts.messages(APP),
    "alerts.raised": lambda w: alerts.raised(APP),
    "alerts.sent": lambda w: alerts.sent(APP, w.told()),
    "alerts.take": lambda w: alerts.take(APP, ["told"], 2),
    "alerts.watch": lambda w: alerts.watch(APP),
    "attention.look": lambda w: attention.look(APP),
    "audit.chain": lambda w: audit.chain(),
    "audit.check": lambda w: audit.check(),
    "audit.page": lambda w: audit.page(APP),
    "audit.of": lambda w: audit.of(w.cancelled),
    "bulk.begin": lambda w: bulk.begin(APP, "retry", bulk.Wanted(), actor="ann", reason="mended"),
    "bulk.counts": lambda w: bulk.counts(w.bulk),
    "bulk.fail": lambda w: bulk.fail(w.bulk, "w", "no"),
    "bulk.forget": lambda w: bulk.forget(),
    "bulk.items": lambda w: bulk.items(w.bulk),
    "bulk.leave": lambda w: bulk.leave(w.bulk, "w"),
    "bulk.listed": lambda w: bulk.listed(APP),
    "bulk.page": lambda w: bulk.page(APP, bulk.Wanted(), bound_us=2**62),
    "bulk.show": lambda w: bulk.show(APP, w.bulk),
    "bulk.steer": lambda w: bulk.steer(APP, w.bulk, "pause", actor="ann"),
    "bulk.step": lambda w: bulk.step(w.bulk, "w"),
    "bulk.step of a discard": lambda w: bulk.step(w.discard, "w"),
    "bulk.step of an undo": lambda w: bulk.step(w.back, "w"),
    "bulk.left": lambda w: bulk.left(APP),
    "bulk.to_walk": lambda w: bulk.to_walk(APP),
    "bulk.undo": lambda w: bulk.undo(APP, w.given, actor="ann"),
    "claims.claim": lambda w: claims.claim(w.me, [w.lane], KNOWN, 10, promote=True),
    "claims.claim_suspect": lambda w: claims.claim_suspect(w.alone, [w.lane.id], KNOWN),
    "claims.waiting": lambda w: claims.waiting([w.lane], KNOWN),
    "claims.waiting_suspect": lambda w: claims.waiting_suspect([w.lane.id], KNOWN),
    "claims.sweep": lambda w: claims.sweep([Lane(w.lane.id, 10**9)], KNOWN),
    "claims.held_by": lambda w: claims.held_by(w.me),
    "claims.sequence_value": lambda w: claims.sequence_value(),
    "dead.held": lambda w: dead.held(APP, []),
    "pages.args_of": lambda w: pages.args_of([w.dead], 100),
    "pages.dead": lambda w: pages.dead(APP, bulk.Wanted(fingerprint="f")),
    "pages.pulse": lambda w: pages.pulse(),
    "dead.page": lambda w: dead.page(APP, after=(2**62, "ffffffff-ffff-ffff-ffff-ffffffffffff")),
    "dead_sets.look": lambda w: dead_sets.look(APP, [w.dead, w.ready]),
    "dead_sets.retry_one": lambda w: dead_sets.retry_one(APP, w.dead, actor="ann"),
    "doubts.page": lambda w: doubts.page(APP),
    "doubts.show": lambda w: doubts.show(APP, w.called),
    "doubts.unproven": lambda w: doubts.unproven(),
    "doubts.confirm": lambda w: doubts.confirm(APP, w.cut, actor="ann", result=b"1"),
    "doubts.resume": lambda w: doubts.resume(APP, w.called, actor="ann", result=b"1"),
    "doubts.refute": lambda w: doubts.refute(APP, w.cut, actor="ann", quiet_us=0),
    "doubts.refute of an effect": lambda w: doubts.refute(
        APP, w.called, actor="ann", quiet_us=0, new_key=True
    ),
    "doubts.waive": lambda w: doubts.waive(APP, w.cut, actor="ann", reason="enough"),
    "doubts.waive of a dead job": lambda w: doubts.waive(APP, w.dead, actor="ann", reason="enough"),
    "doubts.unwaive": lambda w: doubts.unwaive(APP, w.waived, actor="ann"),
    "doubts.prove": lambda w: doubts.prove(w.gone),
    "edits.edit": lambda w: edits.edit(
        APP,
        w.dead,
        run_no=1,
        args=b'{"n":2}',
        args_version=1,
        args_hash="i",
        before="",
        after="",
        actor="ann",
    ),
    "effects.look": lambda w: effects.look(w.caller()),
    "effects.intend": lambda w: effects.intend(w.caller("new"), TERMS, None),
    "effects.intend once more": lambda w: effects.intend(w.caller(), TERMS, w.seen(), fresh=False),
    "effects.settle": lambda w: effects.settle(w.caller(), 1, b"1"),
    "effects.settle_found": lambda w: effects.settle_found(w.caller(), 1, b"1"),
    "effects.end_call": lambda w: effects.end_call(w.caller(), 1, "no", refused=True),
    "effects.of_duty": lambda w: effects.of_duty(APP, "t", w.caller().duty),
    "enqueue.one": lambda w: enqueue.one(APP, job(key="new", repeated=True)),
    "enqueue.one with a deadline": lambda w: enqueue.one(APP, job(key="new", deadline_in_us=5)),
    "enqueue.one into a queue that is not there": lambda w: enqueue.one(APP, replace(job(), queue="new")),
    "enqueue.one of a held duty": lambda w: enqueue.one(APP, job(key="keyed")),
    "enqueue.one of a dead job's duty": lambda w: enqueue.one(APP, job(key="dead")),
    "enqueue.one that rewrites a job": lambda w: enqueue.one(
        APP, replace(job(key="keyed", on_duplicate="replace"), args=b'{"n":2}', args_hash="i")
    ),
    "enqueue.one with other arguments and gates": lambda w: enqueue.one(
        APP, replace(gated("k0", key="keyed", on_duplicate="replace"), args=b'{"n":2}', args_hash="i")
    ),
    "enqueue.one that ended before": lambda w: enqueue.one(
        APP, replace(job(key="cancelled", repeated=True), id=w.cancelled)
    ),
    "enqueue.many": lambda w: enqueue.many(
        APP, [job(), job(key="keyed"), job(key="dead"), job(key="k0", again="asked", actor="ann")]
    ),
    "enqueue.by_person": lambda w: enqueue.by_person(APP, job(key="new"), actor="ann", reason="asked for"),
    "enqueue.batch": lambda w: enqueue.batch(APP, [job(key="batched"), job()], actor="ann", reason="a file"),
    "enqueue.load": lambda w: enqueue.load(
        APP, job(), make_ids(3), 3 * [b"{}"], actor="ann", reason="a file"
    ),
    "enqueue.one with gates": lambda w: enqueue.one(APP, gated("new", key="new")),
    "enqueue.one behind others": lambda w: enqueue.one(APP, gated("k0")),
    "enqueue.many with gates": lambda w: enqueue.many(APP, [gated("k0"), gated("new"), job()]),
    "gate_views.listed": lambda w: gate_views.listed(APP),
    "gate_views.named": lambda w: gate_views.named(APP, "wide"),
    "gates.come": lambda w: gates.come(),
    "gates.jams": lambda w: gates.jams(),
    "gates.mend": lambda w: gates.mend(w.engine.run(gates.jams())),
    "gates.busy_rates": lambda w: gates.busy_rates(),
    "gates.take": lambda w: gates.take(
        APP, w.leases[0].job_id, w.leases[0].token, [Gate("lock", "not waited for", 1), RATE_OF_NOW]
    ),
    "gates.take of a busy one": lambda w: gates.take(
        APP,
        w.leases[0].job_id,
        w.leases[0].token,
        [Gate("lock", "not waited for", 1), Gate("lock", "wide", 2)],
    ),
    "gates.forget": lambda w: gates.forget(),
    "gates.grant": lambda w: gates.grant(w.engine.run(gates.busy_rates())[0]),
    "glance.glance": lambda w: glance.glance(APP),
    "health.apps": lambda w: health.apps(),
    "health.due": lambda w: health.due(APP),
    "health.readings": lambda w: health.readings(),
    "health.workforce": lambda w: health.workforce(APP),
    "health.now": lambda w: health.now(),
    "locks.ask": lambda w: locks.ask(lock_ask("new", name="other")),
    "locks.ask of one who waits": lambda w: locks.ask(lock_ask("new")),
    "locks.break_lock": lambda w: locks.break_lock(APP, "l", actor="ann", reason="hung"),
    "locks.listed": lambda w: locks.listed(APP),
    "locks.release": lambda w: locks.release("held"),
    "locks.renew": lambda w: locks.renew(["held", "waits"]),
    "locks.turns": lambda w: locks.turns(["waits"]),
    "inspect.job": lambda w: looks.job(APP, w.dead),
    "inspect.failures": lambda w: looks.failures(w.dead),
    "inspect.jobs": lambda w: looks.jobs(APP),
    "inspect.dead": lambda w: looks.dead(APP),
    "inspect.queues": lambda w: looks.queues(APP),
    "inspect.unfinished": lambda w: looks.unfinished(APP, ["q"], KNOWN),
    "lanes.lanes": lambda w: lanes.lanes(APP),
    "lanes.declare": lambda w: lanes.declare(APP, [("q", 5), ("r", 0)], [("r", None), ("q", 1)]),
    "ledger.here": lambda w: ledger.here(),
    "ledger.make": lambda w: ledger.make(PARTS[w.engine.name]),
    "numbers.numbers": lambda w: numbers.numbers(APP),
    "page_deeds.reveal": lambda w: page_deeds.reveal(APP, w.dead, actor="ann", reason="to ask the bank"),
    "page_deeds.try_channel": lambda w: page_deeds.try_channel(APP, w.told().channel, actor="ann"),
    "page_reads.begun_us": lambda w: page_reads.begun_us("sweep"),
    "page_reads.by_key": lambda w: page_reads.by_key(APP, "keyed"),
    "page_reads.count": lambda w: page_reads.count(APP, bulk.Wanted(task="t", error="no")),
    "page_reads.last_failures": lambda w: page_reads.last_failures(w.dead),
    "people.retry": lambda w: people.retry(APP, w.dead, actor="ann", reason="mended", args_hash="h"),
    "people.retry of a cancelled job": lambda w: people.retry(APP, w.cancelled, actor="ann", args_hash="h"),
    "people.call_off": lambda w: people.call_off(APP, w.lost, actor="ann", reason="no need"),
    "people.cancel": lambda w: people.cancel(APP, w.keyed, actor="ann", reason="no need"),
    "queues.pause": lambda w: queues.pause(APP, "q", actor="ann", reason="work on it", span_us=10**9),
    "queues.resume": lambda w: queues.resume(APP, "q", actor="ann"),
    "queues.limit": lambda w: queues.limit(APP, "limited", 2, actor="ann", reason="the bank is slow"),
    "queues.take_share": lambda w: queues.take_share(APP, "limited", w.me, 2, 0),
    "queues.oldest": lambda w: queues.oldest([w.lane], KNOWN),
    "queues.late_counts": lambda w: queues.late_counts(APP, 10**12),
    "retention.prepare": lambda w: retention.prepare(),
    "groups.fold": lambda w: groups.fold(),
    "groups.forget": lambda w: groups.forget(),
    "groups.group": lambda w: groups.group(APP, "error:t"),
    "groups.groups": lambda w: groups.groups(APP),
    "groups.hours": lambda w: groups.hours(APP, "error:t", 0),
    "groups.members": lambda w: groups.members(APP, "error:t"),
    "groups.of_task": lambda w: groups.of_task(APP, "t"),
    "metrics.forget": lambda w: metrics.forget(),
    "metrics.roll": lambda w: metrics.roll(),
    "metrics.sample": lambda w: metrics.sample(),
    "metrics.samples": lambda w: metrics.samples(APP, 0, 1),
    "metrics.series": lambda w: metrics.series(APP, "1m", 0, 1),
    "metrics.sums": lambda w: metrics.sums(APP, "1m", 0, 1),
    "registry.register": lambda w: registry.register(
        APP, "r1", [registry.Declared("t", 1, "q", 0, "", "at_least_once", {})]
    ),
    "registry.tasks": lambda w: registry.tasks(APP),
    "timeline.timeline": lambda w: timeline.timeline(APP, w.ready),
    "timeline.backwards": lambda w: timeline.backwards(APP, w.dead),
    "books.books": lambda w: books.books(APP),
    "books.count": lambda w: books.count(),
    "books.turns": lambda w: books.turns({"fold": 1, "roll": 1}),
    "books.fold": lambda w: books.fold(),
    "books.keep": lambda w: books.keep({APP: {"t": {"accepted": 2, "ready": 1}}}),
    "watchers.beat": lambda w: watchers.beat("reaper", 1),
    "watchers.watchers": lambda w: watchers.watchers(APP),
    "retention.prune": lambda w: retention.prune(1),
    "retention.prune_runs": lambda w: retention.prune_runs("failures", 1),
    "retention.prune_runs of events": lambda w: retention.prune_runs("events", 1),
    "retention.prune_duties": lambda w: retention.prune_duties(retention.START),
    "schedules.look": lambda w: schedules.look(APP),
    "schedules.declare": lambda w: schedules.declare(APP, w.me, [declared("new"), declared("due", 9)]),
    "schedules.adopt": lambda w: schedules.adopt(APP, declared("due", 9)),
    "schedules.fire": lambda w: schedules.fire(APP, declared("due")),
    "schedules.fire of missed ones": lambda w: schedules.fire(APP, declared("late", missed="people")),
    "schedules.end": lambda w: schedules.end(APP, "left"),
    "schedules.prune": lambda w: schedules.prune(APP, 1),
    "schedule_verbs.ledger": lambda w: schedule_verbs.ledger(APP, "due"),
    "schedule_verbs.waiting": lambda w: schedule_verbs.waiting(APP),
    "schedule_verbs.run": lambda w: schedule_verbs.run(APP, "due", None, declared("due").make, actor="ann"),
    "schedule_verbs.run of one that waits": lambda w: schedule_verbs.run(
        APP, "left", w.waits, declared("left").make, actor="ann"
    ),
    "schedule_verbs.skip": lambda w: schedule_verbs.skip(APP, "left", w.waits, actor="ann", reason="no"),
    "schedule_verbs.pause": lambda w: schedule_verbs.pause(APP, "due", actor="ann", reason="r"),
    "schedule_verbs.resume": lambda w: schedule_verbs.resume(APP, "paused", actor="ann"),
    "settle.settle": lambda w: settle.settle(w.endings(), w.me),
    "settle.settle of jobs that are too late": lambda w: settle.settle(w.too_late(), w.me),
    "settle.settle of runs that were cut off": lambda w: settle.settle([w.cut_off()], w.gone),
    "settle.who_holds": lambda w: settle.who_holds(w.endings()),
    "traces.find": lambda w: traces.find(w.keyed),
    "traces.forget": lambda w: traces.forget(1),
    "enqueue.one in a span": lambda w: enqueue.one(APP, job(key="new", trace="00-a-b-01")),
    "turns.take": lambda w: turns.take("", "new", "h"),
    "turns.take of a used key": lambda w: turns.take("", "used", None),
    "turns.settle": lambda w: turns.settle("", "used", b"1"),
    "starts.start": lambda w: starts.start(APP, w.leases[0]),
    "starts.start of a run that is over": lambda w: starts.start(
        APP, replace(w.leases[0], token=w.leases[1].token)
    ),
    "verify.check": lambda w: verify.check(APP),
    "verify.elsewhere": lambda w: verify.elsewhere(APP),
    "verify.looks": lambda w: verify.looks(APP),
    "verify.look": lambda w: verify.look("verify_ready", APP),
    "verify.note": lambda w: verify.note(APP, {"verify_ready": None, "verify_lanes": FOUND}),
    "verify.noted": lambda w: verify.noted(APP),
    "verify.spans": lambda w: verify.spans(),
    "why.why": lambda w: why.why(APP, w.ready),
    "workers.register": lambda w: workers.register(worker()),
    "workers.beat": lambda w: workers.beat([w.me, w.alone], '{"1":5}'),
    "workers.leave": lambda w: workers.leave(w.gone),
    "workers.report_dead": lambda w: workers.report_dead(w.alone),
    "workers.due": lambda w: workers.due(),
    "workers.brake": lambda w: workers.brake(1),
    "workers.let_go": lambda w: workers.let_go(),
    "workers.asked_to_cancel": lambda w: workers.asked_to_cancel([w.me, w.alone]),
    "workers.bury": lambda w: workers.bury([w.gone]),
    "workers.unreaped": lambda w: workers.unreaped(),
    "workers.lapse": lambda w: workers.lapse(),
    "workers.live": lambda w: workers.live(),
    "works.find_done": lambda w: works.find_done(APP, w.leases[0]),
    "works.look_at_work": lambda w: works.look_at_work(APP, w.leases[0]),
    "workers.turn": lambda w: workers.turn("sweep", 1),
    **RECONCILE,
    **DRILLS,
}


def operations() -> Iterator[str]:
    """Every operation there is, as ``module.name``: a new one cannot be forgotten."""
    for found in pkgutil.iter_modules(dutiful.operations.__path__):
        module = importlib.import_module(f"dutiful.operations.{found.name}")
        for name, value in vars(module).items():
            if (
                inspect.isfunction(value)
                and value.__module__ == module.__name__
                and hasattr(value, "__wrapped__")
            ):
                yield f"{found.name}.{name}"
