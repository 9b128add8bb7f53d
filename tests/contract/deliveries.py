"""Runs of every delivery, and people's decisions, left to chance: whatever may become of a job."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from dutiful.model.effects import Terms
from dutiful.model.errors import StateError
from dutiful.model.jobs import Lease, NewJob
from dutiful.operations import doubts, effects, people, starts, works
from tests.contract.stores import APP, look, new
from tests.contract.world import World

TERMS = Terms.of("pay", remembered="24h")


def work(world: World, lease: Lease) -> bool:
    """Its work, in the queue's own database; False if the duty was done, or the run was over."""
    work = world.engine.work()
    work.begin()
    try:
        if work.run(works.begin_work(APP, lease)) is None:
            return False
        if not work.run(works.finish_work(APP, lease, None, elsewhere=False)):
            return False
        work.commit()
        return True
    finally:
        work.rollback()


def some(chance: random.Random, seed: int) -> NewJob:
    """A job to be, of some delivery; now and then one more life of a duty that others had."""
    delivery = chance.choice(["at_least_once", "exactly_once", "at_most_once"])
    key = f"{seed}-{delivery}-{chance.randrange(50)}" if chance.random() < 0.5 else None
    again = "once more" if key is not None and chance.random() < 0.3 else None
    return new(key, delivery=delivery, again=again, on_duplicate="keep", actor="ann")


def carry_out(world: World, lease: Lease, chance: random.Random) -> None:
    """One run, as a worker would."""
    started = False
    if lease.delivery == "at_most_once":
        start = world.run(starts.start(APP, lease))
        if start.what != "stored":
            world.end(lease, "duplicate", same_as=start.same_as)
            return
        started = True
    doubtful = chance.random() < 0.3 and call(world, lease, chance)
    if doubtful:
        world.end(lease, "doubt", started=started)
    elif lease.delivery == "exactly_once" and chance.random() < 0.7:
        if not work(world, lease):
            done = world.run(works.find_done(APP, lease))
            world.end(lease, "duplicate", same_as=done.job_id)
    elif lease.delivery == "exactly_once":
        world.end(lease, chance.choice(["bury", "fail", "release"]))
    else:
        verb = chance.choice(["complete", "complete", "bury", "release", "fail"])
        world.end(lease, verb, started=started)
        if started and verb in ("release", "fail") and chance.random() < 0.3:
            world.end(lease, chance.choice(["complete", "bury"]), started=True)  # it lived, after all


def call(world: World, lease: Lease, chance: random.Random) -> bool:
    """A call to the world outside; True if nobody knows what became of it."""
    duty = lease.key if lease.key is not None else lease.job_id
    whose = effects.Caller(APP, lease.task, duty, "pay", "k", lease.job_id, lease.token)
    seen = world.run(effects.look(whose)).row
    if seen is not None and seen.state == "done":
        return False
    tries = world.run(effects.intend(whose, TERMS, seen, fresh=seen is None or seen.state == "refused"))
    if tries is None:
        return False
    came = chance.choice(["done", "refused", "lost"])
    if came == "done":
        world.run(effects.settle(whose, tries, b"{}"))
    else:
        world.run(effects.end_call(whose, tries, came, refused=came == "refused"))
    return came == "lost"


def decide(world: World, chance: random.Random) -> None:
    """A person looks at some of what is dead, in doubt, waived or ready."""
    by: Any = {"actor": "ann", "reason": "looked"}
    for (job,) in look(world.engine, "SELECT id FROM dutiful.job WHERE state = 'in_doubt' LIMIT 3"):
        verb = chance.choice([doubts.confirm, doubts.resume, doubts.waive, doubts.refute])
        more = {"accept_risk": True} if verb is doubts.refute else {}
        attempt(lambda job=job, verb=verb, more=more: world.run(verb(APP, str(job), **by, **more)))
    for (job,) in look(world.engine, "SELECT id FROM dutiful.dead LIMIT 2"):
        verb = chance.choice([people.retry, doubts.waive])
        attempt(lambda job=job, verb=verb: world.run(verb(APP, str(job), **by)))
    waived = "SELECT id FROM dutiful.history WHERE outcome = 'waived' LIMIT 1"
    for (job,) in look(world.engine, waived) if chance.random() < 0.3 else ():
        attempt(lambda job=job: world.run(doubts.unwaive(APP, str(job), **by)))
    for (job,) in look(world.engine, "SELECT id FROM dutiful.job WHERE state = 'ready' LIMIT 1"):
        attempt(lambda job=job: world.run(people.cancel(APP, str(job), **by)))


def attempt(act: Callable[[], Any]) -> None:
    """Do it, unless somebody was faster, or it cannot be done so."""
    try:
        act()
    except StateError:
        pass
