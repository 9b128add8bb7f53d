"""Nothing of the worker runs on a real thread or clock in the simulation without being named."""

from __future__ import annotations

import ast
import threading
import time
from pathlib import Path

import dutiful.worker
import dutiful.worker.fetcher
from tests.simulation import seams, threads
from tests.simulation.scheduler import Scheduler

TAKEN = {module.__name__ for module in seams.REPLACED}


def uses(path: Path) -> set[str]:
    """Which of the replaced modules a file takes, and how: whole, or (a dot before) names out of them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in TAKEN}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module in TAKEN:
            found.add(f".{node.module}")
    return found


def test_every_module_of_the_worker_is_simulated_or_named() -> None:
    simulated = {module.__name__ for module in seams.modules()}
    for path in Path(dutiful.worker.__path__[0]).glob("*.py"):
        name = f"dutiful.worker.{path.stem}"
        taken = uses(path)
        if taken and path.stem != "__init__":
            assert (name in simulated) != (name in seams.LEFT_OUT), name
        if name in simulated:
            by_name = [use for use in taken if use.startswith(".")]
            assert not by_name, (
                f"{path.name} imports names out of {by_name}: the simulation cannot replace them"
            )


def test_the_simulation_is_gone_afterwards() -> None:
    world = Scheduler("0", switch=0)
    with seams.simulated(world, "0", lambda url, clock=None: None):
        assert isinstance(dutiful.worker.fetcher.threading, threads.Threading)
        assert isinstance(dutiful.worker.fetcher.time, threads.Time)
    assert dutiful.worker.fetcher.threading is threading
    assert dutiful.worker.fetcher.time is time
