"""A job in each of its states, and each verb tried on it: what the test of the one table is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from dutiful.model.effects import Terms
from dutiful.model.errors import JobNotFound, StateError, WrongState
from dutiful.model.jobs import Failure, Lease
from dutiful.operations import doubts, effects, enqueue, people, starts, workers
from tests.contract.stores import APP, SECOND, new, pruned
from tests.contract.world import DAY, World


@dataclass
class Case:
    """One job in one state: ``lease`` is its run, or the last one, which is over."""

    world: World
    queue: str
    job: str
    lease: Lease
    worker: int


# ── ways into each state ────────────────────────────────────────────────────────────────────


def absent(world: World, queue: str, alone: bool) -> Case:
    """No such job (any more): what a worker might still hold of it names nothing."""
    worker = world.worker(alone=alone)
    lease = Lease(new().id, 0, 0, "0" * 32, 1, 1, 0, 1, 1, "send", None, b"{}", 0, 0)
    return Case(world, queue, lease.job_id, lease, worker)


def running(world: World, queue: str, alone: bool) -> Case:
    job = world.keyed(queue=queue, crashes_max=1 if alone else 3)
    worker = world.worker(alone=alone)
    [lease] = world.claim(worker, queue=queue)
    return Case(world, queue, job, lease, worker)


def asked_to_stop(world: World, queue: str, alone: bool) -> Case:
    """Running, and somebody wants it to stop."""
    case = running(world, queue, alone)
    world.run(people.call_off(APP, case.job, actor="ann"))
    return case


def ready(world: World, queue: str, alone: bool) -> Case:
    """Tried before, and due again."""
    case = running(world, queue, alone)
    assert world.end(case.lease, "fail", delay_us=0)
    return case


def waiting(world: World, queue: str, alone: bool) -> Case:
    """Ready, but not due."""
    case = running(world, queue, alone)
    assert world.end(case.lease, "fail", delay_us=10 * SECOND)
    return case


def dead(world: World, queue: str, alone: bool) -> Case:
    case = running(world, queue, alone)
    assert world.end(case.lease, "bury")
    return case


def done(world: World, queue: str, alone: bool) -> Case:
    case = running(world, queue, alone)
    assert world.end(case.lease, "complete")
    return case


def cancelled(world: World, queue: str, alone: bool) -> Case:
    case = ready(world, queue, alone)
    world.run(people.cancel(APP, case.job, actor="ann"))
    return case


def waived(world: World, queue: str, alone: bool) -> Case:
    case = dead(world, queue, alone)
    world.run(doubts.waive(APP, case.job, actor="ann", reason="enough"))
    return case


def waived_doubt(world: World, queue: str, alone: bool) -> Case:
    case = cut_off(world, queue, alone)
    world.run(doubts.waive(APP, case.job, actor="ann", reason="enough"))
    return case


def skipped(world: World, queue: str, alone: bool) -> Case:
    case = running(world, queue, alone)
    assert world.end(case.lease, "skip")
    return case


def started(world: World, queue: str, alone: bool) -> Case:
    """The body of an at_most_once task has begun."""
    case = running(world, queue, alone)
    assert world.run(starts.start(APP, case.lease)).what == "stored"
    return case


def in_doubt(world: World, queue: str, alone: bool) -> Case:
    """An effect of its body has no known outcome, and its body ended."""
    case = running(world, queue, alone)
    caller = effects.Caller(
        APP, "send", str(world.row(case.job)["key"]), "charge", "its key", case.job, case.lease.token
    )
    assert world.run(effects.intend(caller, Terms.of("charge"), None)) == 1
    assert world.run(effects.end_call(caller, 1, "no answer", refused=False))
    assert world.end(case.lease, "doubt")
    return case


def cut_off(world: World, queue: str, alone: bool) -> Case:
    """The body of an at_most_once task was cut off."""
    case = started(world, queue, alone)
    assert world.end(case.lease, "release", started=True, failure=Failure("Killed", "cut"))
    return case


WAYS: dict[str, Callable[[World, str, bool], Case]] = {
    "": absent,
    "ready": ready,
    "ready, not due": waiting,
    "running": running,
    "running, asked to stop": asked_to_stop,
    "running, started": started,
    "in_doubt": in_doubt,
    "in_doubt, started": cut_off,
    "dead": dead,
    "done(performed)": done,
    "done(skipped)": skipped,
    "done(waived)": waived,
    "done(waived), in doubt before": waived_doubt,
    "cancelled": cancelled,
}


# ── the verbs: each returns whether something was done ──────────────────────────────────────


def enqueue_again(case: Case) -> bool:
    """A producer that lost the answer repeats its enqueue with the same id."""
    key = case.world.row(case.job).get("key") or f"key of {case.job}"
    job = replace(new(key, queue=case.queue), id=case.job, repeated=True)
    return not case.world.run(enqueue.one(APP, job)).duplicate


def claim(case: Case) -> bool:
    return bool(case.world.claim(case.worker, queue=case.queue))


def start(case: Case) -> bool:
    return bool(case.world.run(starts.start(APP, case.lease)).what == "stored")


def settle(verb: str) -> Callable[[Case], bool]:
    return lambda case: case.world.end(case.lease, verb)


def abort(case: Case) -> bool:
    """A body that began obeys."""
    return case.world.end(case.lease, "abort")


def too_late(verb: str) -> Callable[[Case], bool]:
    """Found too late by the run that claimed it: this one, or one that claims it now."""

    def act(case: Case) -> bool:
        leases = case.world.claim(case.worker, queue=case.queue)
        return case.world.end(leases[0] if leases else case.lease, verb)

    return act


def reported(verb: str) -> Callable[[Case], bool]:
    """A body that was given up says how it ended."""
    return lambda case: case.world.end(case.lease, verb, started=True)


def lapse(case: Case) -> bool:
    case.world.run(workers.bury([case.worker], silent=False))
    return bool(case.world.run(workers.lapse()))


def lapse_in_doubt(case: Case) -> bool:
    case.world.run(workers.bury([case.worker], silent=False))
    return any(one.doubt for one in case.world.run(workers.lapse()))


def lapse_last(case: Case) -> bool:
    return bool(case.world.run(workers.report_dead(case.worker)))


def person(verb: Callable[..., Any]) -> Callable[[Case], bool]:
    def act(case: Case) -> bool:
        missing = case.world.state(case.job) is None
        try:
            case.world.run(verb(APP, case.job, actor="ann", reason="because"))
        except (WrongState, JobNotFound) as error:
            assert isinstance(error, JobNotFound) == missing
            return False
        return True

    return act


def decided(verb: Callable[..., Any], **how: Any) -> Callable[[Case], bool]:
    """A person decides, long after the run was last heard of."""

    def act(case: Case) -> bool:
        case.world.clock.advance(10 * 60 * SECOND)
        try:
            case.world.run(verb(APP, case.job, actor="ann", reason="because", **how))
        except StateError as error:
            assert isinstance(error, JobNotFound) == (case.world.state(case.job) is None)
            return False
        return True

    return act


def prune(case: Case) -> bool:
    before = case.world.row(case.job)
    case.world.clock.advance(9 * DAY)
    pruned(case.world.run, 7 * DAY)
    return case.world.row(case.job) != before


ACTS: dict[str, Callable[[Case], bool]] = {
    "enqueue": enqueue_again,
    "claim": claim,
    "start": start,
    "complete": settle("complete"),
    "duplicate": settle("duplicate"),
    "fail": settle("fail"),
    "bury": settle("bury"),
    "doubt": settle("doubt"),
    "report": reported("complete"),
    "report_failed": reported("bury"),
    "snooze": settle("snooze"),
    "release": settle("release"),
    "abort": abort,
    "skip": too_late("skip"),
    "expire": too_late("expire"),
    "lapse": lapse,
    "lapse_last": lapse_last,
    "lapse_in_doubt": lapse_in_doubt,
    "retry": person(people.retry),
    "cancel": person(people.cancel),
    "confirm": decided(doubts.confirm, result=b'{"seen":1}'),
    "resume": decided(doubts.resume, result=b'{"paid":1}'),
    "refute": decided(doubts.refute),
    "waive": decided(doubts.waive),
    "unwaive": decided(doubts.unwaive),
    "prune": prune,
}
