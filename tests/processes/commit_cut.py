"""Commits of exactly_once work, cut by a proxy again and again; then count.

``python -m tests.processes.commit_cut --times 500`` is the full size; the suite runs a small one.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from devtools.servers import PostgresServer
from dutiful.engines.urls import open_engine
from tests.processes.support.commits import TABLE
from tests.processes.support.proxy import Proxy, When
from tests.processes.support.workers import Place, until

MODULE = "tests.processes.support.commits"
WHENS: tuple[When, ...] = ("before", "unanswered", "silent", "forwarded", "late")
TASKS = ("pay", "apay", "pay_elsewhere")
ROUND_S = 30.0
"""How long one round may take."""
LEDGER = "INSERT INTO dutiful.ledger"
FATE = re.compile(r"commit_unknown job_id='([^']+)' run_no=(\d+) fate='([^']+)'")

SURE: dict[When, str] = {"before": "not committed", "unanswered": "committed", "silent": "committed"}
"""What must be reported of a commit cut so; the others may go either way."""


@dataclass(slots=True)
class Count:
    """What came of it."""

    cuts: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    tries: int = 0
    doubled: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    """Fates that were reported and not true, and jobs that did not end as they should."""
    longest_s: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        cuts = ", ".join(f"{count} {name}" for name, count in self.cuts.items())
        fates = ", ".join(f"{count} {name}" for name, count in sorted(self.fates.items()))
        return (
            f"{self.cuts.total()} commits cut ({cuts}) of {self.jobs} jobs in {self.tries} tries; reported:"
            f" {fates}; {self.doubled} doubled, {self.lost} lost, {len(self.wrong)} wrongly reported;"
            f" a round took at most {self.longest_s:.1f} s ({self.seconds:.0f} s)"
        )


@dataclass(frozen=True, slots=True)
class Round:
    """Some jobs of one task, the first so many of whose commits are cut in one way."""

    task: str
    jobs: int
    when: When
    cuts: int
    hold_s: float


class Till(Place):
    """A place whose worker reaches its two databases through proxies only."""

    def __init__(self, url: str, other_url: str, folder: Path, **more: str) -> None:
        super().__init__(url, folder, MODULE)
        self.urls = {"pay": url, "apay": url, "pay_elsewhere": other_url}
        self.queue_proxy, self.till_proxy = Proxy(url), Proxy(other_url)
        for each in (url, other_url):
            with psycopg.connect(each) as connection:
                connection.execute(TABLE)
        more |= {"DUTIFUL_TEST_URL": self.queue_proxy.url, "DUTIFUL_TEST_TILL": self.till_proxy.url}
        self.worker("--lease", "60s", **more)

    def proxy(self, task: str) -> Proxy:
        return self.till_proxy if task == "pay_elsewhere" else self.queue_proxy

    def rows(self, task: str, ids: list[str]) -> list[tuple[Any, ...]]:
        """What stands in the user's table of these jobs, by a connection that nobody cuts."""
        with psycopg.connect(self.urls[task]) as connection:
            found = connection.execute(
                "SELECT job_id, try FROM public.payment WHERE job_id = ANY(%s)", (ids,)
            )
            return found.fetchall()

    def reported(self, ids: list[str]) -> list[tuple[str, str]]:
        """Of each commit of these jobs without an answer: the job, and what the worker says came of it."""
        return [(id, fate) for id, _run_no, fate in FATE.findall(self.output()) if id in ids]

    def close(self) -> None:
        super().close()
        self.queue_proxy.close()
        self.till_proxy.close()


def cut(till: Till, *, times: int, seed: int, hold_s: tuple[float, ...], round_s: float = ROUND_S) -> Count:
    """Cut so many commits, one round of jobs after the other, and judge each round."""
    chance = random.Random(seed)
    count = Count()
    began = time.monotonic()
    while (left := times - count.cuts.total()) > 0:
        when = WHENS[count.cuts.total() % len(WHENS)]
        cuts = min(chance.choice((1, 1, 1, 2)), left)
        # What was not committed is tried again, so there may be fewer jobs than cuts.
        jobs = chance.choice((1, 5)) if when == "before" else chance.choice((cuts, 5))
        one = Round(chance.choice(TASKS), jobs, when, cuts, chance.choice(hold_s))
        cut_round(till, one, count, round_s)
    count.seconds = time.monotonic() - began
    return count


def cut_round(till: Till, one: Round, count: Count, round_s: float = ROUND_S) -> None:
    """Enqueue, cut, wait until all is done and reported, and judge."""
    began = time.monotonic()
    proxy = till.proxy(one.task)
    trap = proxy.trap("COMMIT", one.when, one.cuts, after=LEDGER, hold_s=one.hold_s)
    ids = till.enqueue(one.task, *((n,) for n in range(one.jobs)))
    trap.wait()
    until(lambda: till.left() == 0, f"all of this round are done: {one}", round_s)
    # Done, a job may be before its worker hears of it.
    until(lambda: len(till.reported(ids)) >= one.cuts, f"each cut is reported: {one}", round_s)
    count.longest_s = max(count.longest_s, time.monotonic() - began)
    count.cuts[one.when] += one.cuts
    judge(till, one, ids, count)


def judge(till: Till, one: Round, ids: list[str], count: Count) -> None:
    """Each effect once, each job done by its only run, and what was reported is what the table says."""
    stored: dict[str, list[str]] = {id: [] for id in ids}
    for id, row in till.rows(one.task, ids):
        stored[id].append(row)
    fates = till.reported(ids)
    wrong = [] if len(fates) == one.cuts else [f"{len(fates)} reported"]
    for id in ids:
        tries = [line[3] for line in till.said("try", id)]
        mine = [fate for other, fate in fates if other == id]
        count.jobs += 1
        count.tries += len(tries)
        count.fates.update(mine)
        count.doubled += len(stored[id]) > 1
        count.lost += not stored[id]
        job = till.job(id)
        if (job.state, job.outcome, job.run_no, job.attempt) != ("done", "performed", 1, 1):
            wrong.append(f"{id} is {job.state} {job.outcome}, run {job.run_no}")
        # The n-th report is about the n-th try: only the last try can have had its answer.
        for row, fate in zip(tries, mine, strict=False):
            kept = row in stored[id]
            if fate != ("committed" if kept else "not committed"):
                wrong.append(f"{id}: {fate}, and is {'' if kept else 'not '}there")
            if fate != SURE.get(one.when, fate):
                wrong.append(f"{id}: {fate}, cut so")
        if len(tries) != mine.count("not committed") + 1:
            wrong.append(f"{id}: {len(tries)} tries, {mine}")
    count.wrong += [f"{one}: {what}" for what in wrong]


def main() -> None:
    """The full size, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with PostgresServer() as server, tempfile.TemporaryDirectory() as folder:
        urls = server.create_database("jobs"), server.create_database("till")
        for url in urls:
            engine = open_engine(url)
            engine.migrate()
            engine.close()
        till = Till(*urls, Path(folder))
        try:
            count = cut(till, times=options.times, seed=options.seed, hold_s=(0.05, 0.3, 1.0, 3.0))
            till.verified()
        except AssertionError:
            print(till.output()[-4000:])
            raise
        finally:
            till.close()
    print(f"seed {options.seed}: {count}")
    for line in count.wrong:
        print(line)


if __name__ == "__main__":
    main()
