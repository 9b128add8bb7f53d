"""The checker's passes in a worker of the benchmark: as often as is asked for, and counted.

A pass a minute costs too little to be seen in a drain of seconds. So passes come far more often there, and
what each of them cost is divided by the minute that it has in earnest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PERIOD_VARIABLE = "DUTIFUL_BENCH_VERIFY_S"
COUNT_VARIABLE = "DUTIFUL_BENCH_VERIFY_COUNT"

OFTEN_S = 0.5
NEVER_S = 1e9


def arrange() -> None:
    """In a worker: passes every so often as the environment says, each leaving one byte in a file."""
    period = os.environ.get(PERIOD_VARIABLE)
    if period is None:
        return
    from dutiful.worker import chores, verifying

    whole = verifying.look_over

    def counted(*args: Any, **named: Any) -> Any:
        found = whole(*args, **named)
        with open(os.environ[COUNT_VARIABLE], "ab") as file:
            file.write(b"!" if found else b".")
        return found

    chores.VERIFY_S = float(period)
    verifying.look_over = counted


@contextmanager
def passes(folder: Path, period_s: float) -> Iterator[Path]:
    """Workers started within look every ``period_s``; the file's bytes are their passes."""
    count = folder / "passes"
    count.write_bytes(b"")
    os.environ[PERIOD_VARIABLE], os.environ[COUNT_VARIABLE] = str(period_s), str(count)
    try:
        yield count
    finally:
        del os.environ[PERIOD_VARIABLE], os.environ[COUNT_VARIABLE]
