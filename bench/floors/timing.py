"""Times a block that drains jobs in this very process, with the CPU time of it and of its server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.processes import cpu_seconds
from bench.subject import Drained


@contextmanager
def timed(jobs: int, servers: Sequence[int] = ()) -> Iterator[Callable[[], Drained]]:
    """``with timed(n) as drained: …`` and then ``drained()``; it must be left before that is called."""
    result: list[Drained] = []
    pids = [os.getpid(), *servers]
    cpu, began = cpu_seconds(pids), time.perf_counter()
    yield lambda: result[0]
    seconds, spent = time.perf_counter() - began, cpu_seconds(pids)
    result.append(Drained(jobs, seconds, None if cpu is None or spent is None else spent - cpu))
