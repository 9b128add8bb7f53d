"""Orders, locks and rates over real processes that are killed; then the history is checked.

``python -m tests.processes.gates --url URL --jobs 100000 --keys 1000`` is the full size; the suite runs a
small one. Each run is written down when its claim has come back and again before it is settled, by one clock
for all processes: so what is written lies within what the database held. A killed run ends when it began.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.gates import Gate
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Failure, Lane, NewJob, NewWorker
from dutiful.operations import claims, enqueue, gates, inspect, lanes, settle, verify, workers

APP = "gates"
KNOWN = {"t": 1}
POOLS = 5
SLOTS = 3
HOSTS = 2
BURST = 5
LEASE_US = 3_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it: each fault is a sentence."""

    jobs: int
    runs: int
    kills: int
    closed: int
    seconds: float
    faults: list[str]


def gates_of(key: int, rate_us: int | None) -> tuple[Gate, ...]:
    order = Gate("order", f"customer:{key}", 1, passes=True)
    lock = Gate("lock", f"pool:{key % POOLS}", SLOTS)
    if rate_us is None:
        return (order, lock)
    return (order, lock, Gate("rate", f"host:{key % HOSTS}", 0, per_us=rate_us, burst=BURST))


def produce(url: str, jobs: int, keys: int, part: int, parts: int, rate_us: int | None, seed: int) -> None:
    """Store this producer's keys' jobs, several keys in a transaction, the numbers of a key going up."""
    chance = random.Random(seed)
    engine = open_engine(url)
    mine, numbers = list(range(part, keys, parts)), defaultdict(int)
    left = jobs // parts
    while left > 0:
        batch = []
        for _ in range(min(left, chance.choice((1, 1, 5, 40)))):
            key = chance.choice(mine)
            numbers[key] += 1
            args = msgspec.json.encode({"key": key, "n": numbers[key]})
            batch.append(
                NewJob(id=make_id(), task="t", queue="q", priority=0, args=args, gates=gates_of(key, rate_us))
            )
        engine.run(enqueue.many(APP, batch))
        left -= len(batch)
    engine.close()


def work(url: str, log: str, seed: int, fail: float) -> None:
    """Claim, write down, settle; until killed."""
    chance = random.Random(seed)
    engine = open_engine(url)
    me = engine.run(workers.register(NewWorker(APP, "h", os.getpid(), LEASE_US, 10, '["q"]', '{"t":1}')))
    beaten = come = 0.0
    out = os.open(f"{log}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        if time.monotonic() - beaten > 0.3:
            engine.run(workers.beat([me]))
            beaten = time.monotonic()
        if time.monotonic() - come > 0.2:
            chores(engine)
            come = time.monotonic()
        asked = [Lane(lane.id) for lane in engine.run(lanes.lanes(APP))]
        leases = engine.run(claims.claim(me, asked, KNOWN, chance.choice((1, 10)), promote=True)).leases
        alone = engine.run(claims.claim_suspect(me, [lane.id for lane in asked], KNOWN)) if asked else None
        leases += [alone] if alone else []
        if not leases:
            time.sleep(0.01)
            continue
        begun = time.time_ns()
        rows = [(lease, msgspec.json.decode(lease.args)) for lease in leases]
        lines = (f"b {lease.token} {a['key']} {a['n']} {begun} {lease.claimed_at_us}\n" for lease, a in rows)
        os.write(out, "".join(lines).encode())
        time.sleep(chance.choice((0, 0.002)))
        ended = time.time_ns()
        os.write(out, "".join(f"e {lease.token} {ended}\n" for lease in leases).encode())
        ends = [ending(lease.job_id, lease.token, lease.run_no, chance.random(), fail) for lease in leases]
        engine.run(settle.settle(ends, me))


def chores(engine: Engine) -> None:
    """What a worker's chores do for all."""
    engine.run(gates.come())
    for rate in engine.run(gates.busy_rates()):
        engine.run(gates.grant(rate))
    engine.run(workers.bury())
    engine.run(workers.lapse())
    if stuck := engine.run(gates.jams()):
        engine.run(gates.mend(stuck))


def ending(job: str, token: str, run_no: int, dice: float, fail: float) -> Ending:
    said = Failure("E", "no", "")
    if dice < fail / 10:
        return Ending("bury", job, token, run_no, reason="exhausted", failure=said)
    if dice < fail / 2:
        return Ending("fail", job, token, run_no, failure=said, delay_us=20_000)
    if dice < fail:
        return Ending("release", job, token, run_no, charged=False, begun=False)
    return Ending("complete", job, token, run_no, result=b"1")


def rampage(
    url: str,
    *,
    jobs: int,
    keys: int,
    crew: int = 4,
    kills: int = 5,
    every_s: float = 1.0,
    fail: float = 0.1,
    rate_us: int | None = None,
    seed: int = 1,
    limit_s: float = 120.0,
) -> Found:
    """Run it all, killing one of the crew every ``every_s``, at most ``kills`` times."""
    chance, start, killed = random.Random(seed), time.monotonic(), 0
    context = multiprocessing.get_context("spawn")
    engine = open_engine(url)
    engine.migrate()
    engine.run(lanes.declare(APP, [("q", 0)], []))
    with tempfile.TemporaryDirectory() as log:
        producers = [
            context.Process(target=produce, args=(url, jobs, keys, n, 2, rate_us, seed * 10 + n), daemon=True)
            for n in range(2)
        ]

        def hire(n: int) -> multiprocessing.process.BaseProcess:
            process = context.Process(target=work, args=(url, log, seed * 1000 + n, fail), daemon=True)
            process.start()
            return process

        for process in producers:
            process.start()
        team = [hire(n) for n in range(crew)]
        last = time.monotonic()
        try:
            while time.monotonic() - start < limit_s:
                time.sleep(0.2)
                if killed < kills and time.monotonic() - last > every_s:
                    at, last = chance.randrange(crew), time.monotonic()
                    os.kill(team[at].pid or 0, signal.SIGKILL)
                    killed += 1
                    team[at] = hire(crew + killed)
                done = not any(process.is_alive() for process in producers)
                if done and killed >= kills and not left(engine):
                    break
        finally:
            for process in (*team, *producers):
                process.kill()
                process.join()
        found = faults(Path(log), rate_us)
        runs = sum(1 for path in Path(log).iterdir() for line in path.open() if line[0] == "b")
    open_ = left(engine)
    found += [f"{open_} jobs are not closed"] if open_ else []
    found += [f"{one.summary}: {one.rows[:2]}" for one in engine.run(verify.check(APP, full=True))]
    engine.close()
    return Found(jobs, runs, killed, jobs - open_, time.monotonic() - start, found)


def left(engine: Engine) -> int:
    """How many jobs are ready or running."""
    open_ = engine.run(inspect.unfinished(APP, ["q"], KNOWN))
    return open_.ready + open_.running


def faults(log: Path, rate_us: int | None) -> list[str]:
    """Read what was written down, and name what should not be."""
    found: list[str] = []
    runs = sorted(_runs(log))
    by_key: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    if rate_us is not None:
        for host in range(HOSTS):
            starts = sorted(claimed for _, _, key, _, claimed in runs if key % HOSTS == host)
            if (over := above(starts, rate_us)) > 0:
                found.append(f"host {host}: {over:.2f} starts more in a window than its rate and burst allow")
    for begun, ended, key, n, _ in runs:
        by_key[key].append((begun, ended, n))
    for key, spans in by_key.items():
        for (_, ended, n), (begun, _, after) in pairwise(spans):
            if after < n:
                found.append(f"customer {key}: job {after} ran after job {n}")
            if begun < ended:
                found.append(f"customer {key}: jobs {n} and {after} ran at once")
    for pool in range(POOLS):
        marks = [
            (at, step) for b, e, key, _, _ in runs if key % POOLS == pool for at, step in ((b, 1), (e, -1))
        ]
        level = most = 0
        for _, step in sorted(marks):
            level += step
            most = max(most, level)
        if most > SLOTS:
            found.append(f"pool {pool}: {most} ran at once")
    return found


def above(starts: list[int], rate_us: int, burst: int = BURST) -> float:
    """By how many starts the worst of all windows is above its share of the rate and the burst.

    ``starts`` are the database's instants of the claims, in order. A window from one start to another holds
    ``j - i + 1``; so it is enough to carry along where the worst one that ends here began.
    """
    worst, least = 0.0, float("inf")
    for n, at in enumerate(starts):
        least = min(least, n - at / rate_us)
        worst = max(worst, n + 1 - at / rate_us - least - burst)
    return worst if worst > 1e-3 else 0.0  # what is lost in the last places of a float


def _runs(log: Path) -> Iterator[tuple[int, int, int, int, int]]:
    for path in log.iterdir():
        open_: dict[str, tuple[int, int, int, int]] = {}
        for line in path.read_text().splitlines():
            words = line.split()
            if words[0] == "b":
                open_[words[1]] = (int(words[4]), int(words[2]), int(words[3]), int(words[5]))
            elif words[1] in open_:
                begun, key, n, claimed = open_.pop(words[1])
                yield begun, int(words[2]), key, n, claimed
        for begun, key, n, claimed in open_.values():
            yield begun, begun, key, n, claimed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    for name, usual in (("jobs", 100_000), ("keys", 1000), ("crew", 4), ("kills", 50), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--rate-us", type=int)
    parser.add_argument("--every-s", type=float, default=2.0)
    parser.add_argument("--limit-s", type=float, default=3600.0)
    print(rampage(**vars(parser.parse_args())))
