"""The floor of free gates on PostgreSQL: what any durable design writes for one, and nothing else.

A job that stands alone at a lock or an order is "in" by a row of its own, under a key that only one can have,
stored with the job; and "out" by that row's deletion, committed with the job's end. A rate counts its
starts, once for all jobs of a host in a batch. Batches are as large as dutiful's. Jobs themselves are stored,
claimed and ended as on the floor without gates, by COPY and dutiful's statements.

It lacks what makes a gate: a line of those who wait, whose turn it is, a look at who goes on. It trusts
its producer to know the gates by number, and asks nothing.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from bench.floors.rows import ID, copied
from bench.server_side import server_pid
from bench.turns import in_turn
from dutiful.operations.enqueue import COPY_COLUMNS

if TYPE_CHECKING:
    from bench.floors.postgres import Floor

KEYS = 1_000
HOSTS = 10
GATES = {
    # the numbers of a job's gates, by its number
    "plain": lambda key: (),
    "lock": lambda key: (key,),
    "order": lambda key: (KEYS + key,),
    "rate": lambda key: (2 * KEYS + key % HOSTS,),
    "all": lambda key: (key, KEYS + key, 2 * KEYS + key % HOSTS),
}
TABLES = """
CREATE TABLE bench_place (
    gate bigint NOT NULL, seq bigint NOT NULL, job_id uuid NOT NULL, PRIMARY KEY (gate, seq)
);
CREATE INDEX ON bench_place (job_id, gate);
CREATE TABLE bench_rate (gate bigint PRIMARY KEY, starts bigint NOT NULL) WITH (fillfactor = 50);
"""
ENTER = (
    b"INSERT INTO bench_place (gate, seq, job_id)"
    b" SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[])"
)
COUNT = (
    b"UPDATE bench_rate AS r SET starts = r.starts + n.starts"
    b" FROM unnest($1::bigint[], $2::bigint[]) AS n(gate, starts) WHERE r.gate = n.gate"
)
LEAVE = b"DELETE FROM bench_place WHERE job_id = ANY($1::uuid[])"


def measure(floor: Floor, jobs: int) -> dict[str, float]:
    """CPU microseconds of a job of each kind, of this process and the server."""
    for statement in TABLES.split(";"):
        floor.connection.execute(statement.encode())
    rates = [GATES["rate"](host)[0] for host in range(HOSTS)]
    floor.connection.execute(b"INSERT INTO bench_rate SELECT g, 0 FROM unnest($1::bigint[]) AS g", [rates])
    turns = itertools.count(1)
    server = server_pid(floor.place.url)
    pids = [os.getpid(), *([] if server is None else [server])]
    return in_turn(
        [*GATES], KEYS, max(3, jobs // KEYS), pids, lambda kind: carry_out(floor, kind, next(turns))
    )


def carry_out(floor: Floor, kind: str, turn: int) -> None:
    """A thousand jobs of one kind from their enqueue to their end."""
    stored = copied(KEYS, floor.stand.lane, COPY_COLUMNS)
    rates = {gate for host in range(HOSTS) for gate in GATES["rate"](host)}
    stands = [(gate, row[0]) for key, row in enumerate(stored) for gate in GATES[kind](key)]
    places = [stand for stand in stands if stand[0] not in rates]
    starts = [gate for gate, _ in stands if gate in rates]
    with floor.connection.transaction():
        floor._copy(stored)
        if places:
            ids = [job for _, job in places]
            _run(floor, ENTER, [gate for gate, _ in places], [turn] * len(places), ids)
        if starts:
            counted = sorted(set(starts))
            _run(floor, COUNT, counted, [starts.count(gate) for gate in counted])
    left = KEYS
    while left:
        claimed = floor._claim()
        left -= len(claimed)
        if not places:
            floor._complete(claimed)
            continue
        with floor.connection.transaction():
            floor._complete(claimed)
            _run(floor, LEAVE, [row[ID] for row in claimed])


def _run(floor: Floor, text: bytes, *params: list[Any]) -> None:
    floor.connection.execute(text, params, binary=True)
