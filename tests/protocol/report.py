"""``./dev model``: explores all configurations, searches all mutants, and prints both as tables."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.protocol.configurations import DEEP, PUSH
from tests.protocol.explore import Explored, explore
from tests.protocol.mutants import MUTANTS, Verdict, judge
from tests.protocol.story import told


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 if nothing is wrong in any state and every mutant was caught."""
    parser = argparse.ArgumentParser(prog="./dev model", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="more faults, people and workers: for a night")
    parser.add_argument("--only", metavar="TEXT", help="only what has this in its name")
    parser.add_argument("--stories", action="store_true", help="tell how each mutant goes wrong")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    wanted = options.only or ""
    chosen = [bounds for bounds in (DEEP if options.deep else PUSH) if wanted in bounds.name]
    mutants = [mutant for mutant in MUTANTS if wanted in mutant.weak]
    with ProcessPoolExecutor(os.cpu_count(), max_tasks_per_child=1) as pool:
        running = [pool.submit(explore, bounds, compact=options.deep) for bounds in chosen]
        verdicts = [judge(mutant) for mutant in mutants]
        _print_mutants(verdicts, stories=options.stories)
        print(f"\n{'configuration':42} {'states':>11} {'transitions':>12} {'seconds':>8}")
        explored = []
        for future in running:
            explored.append(future.result())
            _print_explored(explored[-1])
    caught = sum(verdict.caught for verdict in verdicts)
    wrong = [result for result in explored if result.wrong]
    states, steps = sum(result.states for result in explored), sum(result.steps for result in explored)
    print(f"{'in all':42} {states:11,} {steps:12,} {sum(result.seconds for result in explored):8.1f}")
    print(f"\nconfigurations in which something is wrong: {len(wrong)} of {len(explored)}")
    print(f"mutants caught: {caught} of {len(mutants)}; {time.monotonic() - began:.0f} s")
    return 1 if wrong or caught < len(mutants) else 0


def _print_mutants(verdicts: Sequence[Verdict], *, stories: bool) -> None:
    print(f"{'mutant':30} {'by':4} {'states':>8}  what it does instead")
    for verdict in verdicts:
        mutant, found = verdict.mutant, verdict.found
        mark = "" if verdict.caught else "NOT CAUGHT: "
        print(f"{mutant.weak:30} {mutant.expected:4} {found.states:8,}  {mark}{mutant.because}", flush=True)
        if stories or not verdict.caught:
            print(told(found.story, found.wrong))


def _print_explored(result: Explored) -> None:
    print(f"{result.name:42} {result.states:11,} {result.steps:12,} {result.seconds:8.1f}", flush=True)
    if result.wrong:
        print(result.story)
