"""`./dev sim [--seeds N] [--seed S] [--verbose]`: run seeds, and say what came of them.

``--seed S`` runs one seed, the same each time; ``--verbose`` prints its whole trace.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.simulation.faults import KINDS
from tests.simulation.simulation import Report, run

TAIL = 40
"""So many lines of a trace are shown where it is not asked for."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev sim", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=500, metavar="N", help="how many seeds (500)")
    parser.add_argument(
        "--from", type=int, default=0, dest="first", metavar="S", help="the first of them (0)"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="this seed alone")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--verbose", action="store_true", help="the whole trace of each seed")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        report = run(given.seed, keep_trace=True)
        show(report, len(report.trace) if given.verbose else TAIL)
        totals = Totals()
        totals.add(report)
        totals.show(0.0)
        return 1 if report.problem else 0
    began, totals = time.monotonic(), Totals()
    for report in reports(range(given.first, given.first + given.seeds), given.jobs, given.verbose):
        totals.add(report)
        if given.verbose or report.problem:
            show(report, len(report.trace) if given.verbose else TAIL)
        elif totals.seeds % 500 == 0:
            print(f"{totals.seeds} seeds, {totals.found} with findings", flush=True)
    totals.show(time.monotonic() - began)
    return 1 if totals.found else 0


def reports(seeds: Sequence[int], jobs: int, keep: bool) -> Iterator[Report]:
    """What came of each seed, in any order."""
    if jobs == 1:
        for seed in seeds:
            yield run(seed, keep_trace=keep)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=20)


def show(report: Report, lines: int) -> None:
    """One seed: the end of its trace, and what was found."""
    for line in report.trace[-lines:] if lines else ():
        print(line)
    print(f"seed {report.seed}: {report.problem or 'nothing found'}")
    print(
        f"  {report.jobs} jobs, {report.runs} runs, {report.steps} steps, {report.virtual_s:.0f} s of its own"
        f" time, {sum(report.faults.values())} faults; trace {report.digest}"
    )
    if report.problem:
        print(f"  again: ./dev sim --seed {report.seed} --verbose", flush=True)


class Totals:
    """Of many seeds."""

    def __init__(self) -> None:
        self.seeds = self.found = self.jobs = self.runs = self.steps = 0
        self.virtual_s = 0.0
        self.faults: Counter[str] = Counter()
        self.verbs: Counter[str] = Counter()
        self.events: Counter[str] = Counter()

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.found += report.problem is not None
        self.jobs += report.jobs
        self.runs += report.runs
        self.steps += report.steps
        self.virtual_s += report.virtual_s
        self.faults += report.faults
        self.verbs += report.verbs
        self.events += report.events

    def show(self, took_s: float) -> None:
        print(
            f"{self.seeds} seeds, {self.found} with findings: {self.jobs:,} jobs, {self.runs:,} runs,"
            f" {self.steps:,} steps, {self.virtual_s / 3600:.1f} h of their own time; {took_s:.0f} s"
        )
        for title, counts in (("transitions", self.verbs), ("events", self.events)):
            print(f"{title}: " + ", ".join(f"{name} {count:,}" for name, count in counts.most_common()))
        for kind, what in KINDS.items():
            print(f"  {self.faults[kind]:>9,}  {kind:<24} {what}")
        print(f"  {sum(self.faults.values()):>9,}  faults", flush=True)
