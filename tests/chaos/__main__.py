"""``./dev chaos --engine sqlite|postgres --minutes N [--seed S]``: a full run, and its table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.counting import table
from tests.chaos.run import run

FULL_MINUTES = 5.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--engine", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="leave the store, the logs and the history there")
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="dutiful-chaos-"))
    print(f"chaos on {options.engine}, {options.minutes:g} minutes, seed {options.seed}", flush=True)
    report = run(options.engine, seconds=60 * options.minutes, seed=options.seed, folder=folder)
    print(table(report.counts))
    print("\nfaults: " + ", ".join(f"{name} {times}" for name, times in sorted(report.faults.items())))
    problems = report.problems(full=options.minutes >= FULL_MINUTES)
    for problem in problems:
        print(f"WRONG  {problem}")
    left = f"left in {folder}" if problems or options.keep else "all as promised"
    print(f"{report.seconds:.0f} s; {left}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
