"""What a session can do: the operations that meet each other on the same rows, one call each.

An act's name says what it is about; its answer goes to the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from dutiful.app.once import once
from dutiful.model.errors import CommitUnknown, DutifulError
from dutiful.model.jobs import Ending
from dutiful.operations import (
    claims,
    doubts,
    enqueue,
    people,
    retention,
    settle,
    starts,
    workers,
    works,
)
from tests.interleavings.scene import APP, KNOWN, RAISED, Scene
from tests.interleavings.stepping import Session

Act = Callable[[Scene, Session], Any]
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")

ACTS: dict[str, Act] = {}
CLAIMERS: dict[str, str] = {}
"""For which worker an act claims."""


def act(name: str) -> Callable[[Act], Act]:
    def keep(function: Act) -> Act:
        ACTS[name] = function
        return function

    return keep


# ── workers ─────────────────────────────────────────────────────────────────────────────────


def _claim(name: str, worker: str, limit: int) -> None:
    def claim(scene: Scene, session: Session) -> Any:
        asked = claims.claim(scene.workers[worker], [scene.lane], KNOWN, limit, promote=True)
        return session.engine.run(asked).leases

    ACTS[name] = claim
    CLAIMERS[name] = worker


_claim("claim one", "other", 1)
_claim("claim all", "busy", 10)
_claim("claim for the silent", "silent", 2)


@act("beat of the silent")
def beat(scene: Scene, session: Session) -> Any:
    return session.engine.run(workers.beat([scene.workers["silent"]], None)).alive


@act("bury workers")
def bury(scene: Scene, session: Session) -> Any:
    return session.engine.run(workers.bury())


@act("reap")
def reap(scene: Scene, session: Session) -> Any:
    gone = session.engine.run(workers.bury())
    return gone, session.engine.run(workers.lapse())


@act("leave of the silent")
def leave(scene: Scene, session: Session) -> Any:
    return session.engine.run(workers.leave(scene.workers["silent"]))


@act("leave of the busy")
def leave_busy(scene: Scene, session: Session) -> Any:
    return session.engine.run(workers.leave(scene.workers["busy"]))


# ── endings ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker was told of an ending: whether it stands."""

    ending: Ending
    stands: bool


VERBS: dict[str, dict[str, Any]] = {
    "complete": {"result": b"2"},
    "fail": {"failure": RAISED, "delay_us": 0},
    "bury": {"failure": RAISED, "reason": "exhausted"},
    "snooze": {"delay_us": 1, "charged": False},
    "release": {"charged": False, "begun": False},
}


def _ending(verb: str, jobs: list[str]) -> Act:
    def end(scene: Scene, session: Session) -> Any:
        started = {"started": True} if "most" in " ".join(jobs) else {}
        endings = [
            Ending(verb, lease.job_id, lease.token, lease.run_no, **VERBS[verb], **started)  # type: ignore[arg-type]
            for lease in (scene.leases[job] for job in jobs)
        ]
        lost = session.engine.run(settle.settle(endings, scene.workers["busy"]))
        return [Told(ending, ending not in lost) for ending in endings]

    return end


for verb in VERBS:
    ACTS[f"{verb} of the silent"] = _ending(verb, ["of the silent"])
ACTS["complete two"] = _ending("complete", ["running", "plain running"])
ACTS["fail two"] = _ending("fail", ["plain running", "running"])
ACTS["complete again"] = _ending("complete", ["running"])
ACTS["complete of the started"] = _ending("complete", ["most of the silent"])
ACTS["bury of the started"] = _ending("bury", ["most of the silent"])


@act("read back")
def read_back(scene: Scene, session: Session) -> Any:
    lease = scene.leases["of the silent"]
    asked = [Ending("complete", lease.job_id, lease.token, lease.run_no)]
    return session.engine.run(settle.who_holds(asked))[lease.job_id]


# ── deliveries ──────────────────────────────────────────────────────────────────────────────


@act("start")
def start(scene: Scene, session: Session) -> Any:
    return session.engine.run(starts.start(APP, scene.leases["most"])).what


def _work(name: str) -> Act:
    """An exactly_once run from its transaction's beginning to its commit, as a worker goes through it."""

    def work(scene: Scene, session: Session) -> Any:
        lease = scene.leases[name]
        transaction = session.engine.work()
        transaction.begin()
        try:
            if transaction.run(works.begin_work(APP, lease)) is None:
                return "done before"
            transaction.raw.execute("INSERT INTO public.work VALUES (%s, %s)", (lease.key, lease.job_id))
            if not transaction.run(works.finish_work(APP, lease, None, elsewhere=False)):
                return "over"
            transaction.commit()
        finally:
            transaction.rollback()
        return "worked"

    return work


ACTS["exact work"] = _work("exact")
ACTS["exact work of the silent"] = _work("exact of the silent")


@act("exact work of the next run")
def next_work(scene: Scene, session: Session) -> Any:
    """A worker claims what lapsed, and works."""
    found = session.engine.run(claims.claim(scene.workers["other"], [scene.lane], {"exact": 1}, 5)).leases
    told = []
    for lease in found:
        scene.leases["next"] = lease
        told.append((lease, _work("next")(scene, session)))
    return told


# ── people ──────────────────────────────────────────────────────────────────────────────────


def _person(verb: Callable[..., Any], job: str, **more: Any) -> Act:
    def decide(scene: Scene, session: Session) -> Any:
        operation = verb(APP, scene.jobs[job], actor="ann", reason="because", **more)
        try:
            session.engine.run(operation)
        except DutifulError as error:
            assert not isinstance(error, CommitUnknown)
            return type(error).__name__
        return verb.__name__

    return decide


ACTS["cancel"] = _person(people.cancel, "ready")
ACTS["cancel plain"] = _person(people.cancel, "plain ready")
ACTS["retry dead"] = _person(people.retry, "dead", args_hash='{"n":1}')
ACTS["retry cancelled"] = _person(people.retry, "cancelled", args_hash='{"n":1}')
ACTS["waive dead"] = _person(doubts.waive, "dead")
ACTS["confirm"] = _person(doubts.confirm, "doubted")
ACTS["refute"] = _person(doubts.refute, "doubted", accept_risk=True)
ACTS["waive doubted"] = _person(doubts.waive, "doubted")


# ── enqueue ─────────────────────────────────────────────────────────────────────────────────


def _enqueue(key: str | None, level: str | None = None, **options: Any) -> Act:
    """On a connection of our own, or (with a level) in a caller's transaction that has looked before."""

    def store(scene: Scene, session: Session) -> Any:
        operation = enqueue.one(APP, scene.new(key, **options))
        if level is None:
            try:
                return session.engine.run(operation)
            except DutifulError as error:
                return type(error).__name__
        return _lent(session, level, lambda: session.engine.bind(session.lent).run(operation))

    return store


def _lent(session: Session, level: str, use: Callable[[], Any]) -> Any:
    """A caller's transaction around it; what the caller is told, or why it was rolled back."""
    connection = session.lent
    connection.execute(f"BEGIN ISOLATION LEVEL {level}")  # type: ignore[arg-type]
    connection.execute("SELECT count(*) FROM public.work")
    try:
        answer = use()
        connection.execute("COMMIT")
    except (DutifulError, psycopg.Error) as error:
        connection.execute("ROLLBACK")
        return type(error).__name__
    return answer


def _once(level: str) -> Act:
    def use(scene: Scene, session: Session) -> Any:
        def block() -> Any:
            with once(session.lent, "charge:1") as turn:
                if turn.first:
                    session.lent.execute("INSERT INTO public.work VALUES ('once', NULL)")
                return turn.first

        return _lent(session, level, block)

    return use


ACTS["enqueue new"] = _enqueue("k-new")
ACTS["enqueue ready"] = _enqueue("k-ready")
ACTS["replace ready"] = _enqueue("k-ready", args='{"n":2}', on_duplicate="replace")
ACTS["enqueue running"] = _enqueue("k-running")
ACTS["enqueue of the silent"] = _enqueue("k-silent")
ACTS["enqueue dead"] = _enqueue("k-dead")
ACTS["enqueue cancelled"] = _enqueue("k-cancelled")
ACTS["enqueue done again"] = _enqueue("k-done", again="once more", actor="ann")
ACTS["enqueue running again"] = _enqueue("k-running", again="once more", actor="ann")
ACTS["enqueue doubted"] = _enqueue("k-doubted", task="most")
for level in LEVELS:
    short = "".join(word[0] for word in level.split()).lower() if " " in level else "s"
    ACTS[f"lent {short}: enqueue new"] = _enqueue("k-new", level)
    ACTS[f"lent {short}: enqueue ready"] = _enqueue("k-ready", level)
    ACTS[f"lent {short}: replace ready"] = _enqueue("k-ready", level, args='{"n":2}', on_duplicate="replace")
    ACTS[f"lent {short}: enqueue running"] = _enqueue("k-running", level)
    ACTS[f"lent {short}: enqueue dead"] = _enqueue("k-dead", level)
    ACTS[f"lent {short}: enqueue cancelled"] = _enqueue("k-cancelled", level)
    ACTS[f"lent {short}: once"] = _once(level)


# ── chores ──────────────────────────────────────────────────────────────────────────────────


@act("sweep")
def sweep(scene: Scene, session: Session) -> Any:
    from dutiful.model.jobs import Lane

    return session.engine.run(claims.sweep([Lane(scene.lane.id, 10**9)], KNOWN))


@act("prune duties")
def prune(scene: Scene, session: Session) -> Any:
    return session.engine.run(retention.prune_duties(retention.START)).duties
