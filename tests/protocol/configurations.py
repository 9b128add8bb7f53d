"""The explorations: each delivery, each kind of provider, each failover, with few faults of each kind.

``PUSH`` is what every test run explores, whole; ``DEEP`` has one more of everything.
"""

from __future__ import annotations

from dataclasses import replace

from tests.protocol.bounds import Bounds, Provider
from tests.protocol.nouns import Left
from tests.protocol.suspects import Bounds as Suspects

KEYS = Provider(remembered=3)
KEYS_AND_LOOKUP = Provider(remembered=2, lookup=True, clock_max=2)
LOOKUP = Provider(lookup=True, clock_max=0)  # time matters to keys alone
NEITHER = Provider(clock_max=0)

STARTS_ARE_LOST = {
    "I2": "§0.7: a standby that lacks a start lets the body begin again; only a synchronous one would not",
}
WORK_IS_LOST = {
    "I4": "§2.5: the other database loses work after the queue said done; reconciliation alone sees it",
}
CALLS_ARE_FORGOTTEN = {
    "I3": "§0.7: without its row a call is made again; a key helps for as long as the provider knows it",
    "I15": "the row of a call under way is lost with the last commits",
}

DELIVERIES: tuple[Bounds | Suspects, ...] = (
    Bounds(
        "at least once",
        "at_least_once",
        Left(crashes=1, silences=1, losses=1, handbacks=1, people=1, forgets=1, raises=1),
    ),
    Bounds(
        "exactly once",
        "exactly_once",
        Left(crashes=2, silences=1, losses=1, handbacks=1, people=1, forgets=1, raises=1),
    ),
    Bounds(
        "exactly once, elsewhere",
        "elsewhere",
        Left(crashes=1, silences=1, losses=1, handbacks=1, people=1, forgets=1, raises=1),
    ),
    Bounds(
        "at most once",
        "at_most_once",
        Left(crashes=1, silences=1, losses=1, people=2, forgets=1, raises=1),
        epochs=3,
    ),
    Bounds(
        "suspects die",
        "exactly_once",
        Left(crashes=3, silences=1, losses=1, handbacks=1, people=1, raises=1),
        crashes_max=2,
    ),
    Bounds(
        "two duties",
        "at_least_once",
        Left(crashes=1, silences=1, losses=1, handbacks=1, raises=1),
        duties=(0, 1),
    ),
    Bounds(
        "three workers",
        "exactly_once",
        Left(crashes=2, silences=2, losses=1, handbacks=1, forgets=1, raises=1),
        workers=3,
    ),
    Bounds(
        "three workers, at most once",
        "at_most_once",
        Left(crashes=1, silences=2, losses=1, handbacks=1, people=1, raises=1),
        workers=3,
    ),
    Bounds(
        "again, late, pruned",
        "exactly_once",
        Left(crashes=1, silences=1, people=1, forgets=1, agains=1, lates=1, raises=1),
        prune=True,
    ),
    Bounds(
        "again, late, pruned, at most once",
        "at_most_once",
        Left(silences=1, people=2, forgets=1, agains=1, lates=1, raises=1),
        epochs=3,
        prune=True,
    ),
    Suspects("suspects", jobs=3, workers=2, kills=2),
)

CALLS_AND_FAILOVERS: tuple[Bounds | Suspects, ...] = (
    Bounds(
        "call with keys",
        "exactly_once",
        Left(crashes=1, silences=1, losses=1, people=1),
        duties=(0,),
        provider=KEYS,
    ),
    Bounds(
        "call with keys and lookup",
        "at_least_once",
        Left(crashes=1, silences=1, losses=1, people=1, raises=1),
        duties=(0,),
        provider=KEYS_AND_LOOKUP,
    ),
    Bounds(
        "call with lookup",
        "exactly_once",
        Left(crashes=1, silences=2, losses=1, people=1, raises=1),
        duties=(0,),
        crashes_max=2,
        provider=LOOKUP,
    ),
    Bounds(
        "call with neither",
        "exactly_once",
        Left(crashes=1, silences=2, losses=1, people=2, raises=1),
        duties=(0,),
        crashes_max=2,
        provider=NEITHER,
    ),
    Bounds(
        "call whose request changes",
        "exactly_once",
        Left(crashes=1, silences=1, people=1, changes=1),
        duties=(0,),
        provider=KEYS,
    ),
    Bounds(
        "failover, at least once",
        "at_least_once",
        Left(crashes=1, silences=1, losses=1, failovers=1),
        failover="queue",
    ),
    Bounds(
        "failover, exactly once",
        "exactly_once",
        Left(crashes=1, silences=1, losses=1, forgets=1, failovers=1),
        failover="queue",
    ),
    Bounds(
        "failover of the queue, work elsewhere",
        "elsewhere",
        Left(crashes=1, silences=1, losses=1, forgets=1, failovers=1),
        failover="queue",
    ),
    Bounds(
        "failover of the work's database",
        "elsewhere",
        Left(crashes=1, silences=1, losses=1, forgets=1, failovers=1),
        failover="other",
        waived=WORK_IS_LOST,
    ),
    Bounds(
        "failover, at most once",
        "at_most_once",
        Left(silences=1, losses=1, people=1, failovers=1),
        failover="queue",
        waived=STARTS_ARE_LOST,
    ),
    Bounds(
        "failover under a call",
        "exactly_once",
        Left(silences=1, failovers=1),
        duties=(0,),
        provider=KEYS,
        failover="queue",
        waived=CALLS_ARE_FORGOTTEN,
    ),
)

PUSH = (*DELIVERIES, *CALLS_AND_FAILOVERS)


def deeper(bounds: Bounds | Suspects) -> Bounds | Suspects:
    """The same with one more of every fault and verb that it has."""
    if isinstance(bounds, Suspects):
        return replace(bounds, jobs=bounds.jobs + 1, workers=bounds.workers + 1, kills=bounds.kills + 1)
    more = {name: number + 1 for name, number in bounds.left._asdict().items() if number}
    return replace(bounds, left=Left(**more))


DEEP = (*PUSH, *map(deeper, PUSH))
