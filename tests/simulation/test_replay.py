"""One seed is one run: the same trace, byte for byte, also in another process with other hashes."""

from __future__ import annotations

import os
import subprocess
import sys

from devtools.places import ROOT
from tests.simulation.simulation import run

PROGRAM = "import sys\nfrom tests.simulation.simulation import run\nprint(run(int(sys.argv[1])).digest)"
SEEDS = (3, 12, 40)


def test_a_seed_is_one_run() -> None:
    first = [run(seed, keep_trace=True) for seed in SEEDS]
    again = [run(seed, keep_trace=True) for seed in reversed(SEEDS)][::-1]
    assert [report.trace for report in first] == [report.trace for report in again]
    assert len({report.digest for report in first}) == len(SEEDS)


def test_it_is_the_same_in_another_process() -> None:
    for seed in SEEDS[:2]:
        output = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert output.strip() == run(seed).digest
