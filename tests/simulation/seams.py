"""Where the simulated world is put under the real worker: names in its modules, for as long as a run lasts.

Only the names here are replaced. Whatever else stands in ``dutiful.worker`` and ``dutiful.engines.sqlite``
is what a real worker runs; a test looks whether a module has come to use a thread or a clock that is
not in this list.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import dutiful.worker
from tests.simulation import threads
from tests.simulation.children import children_class
from tests.simulation.files import Liveness, file_class
from tests.simulation.scheduler import Scheduler

REPLACED: tuple[ModuleType, ...] = (threading, queue, time, random, os, socket)
"""The modules that are replaced wherever a real one is used."""

ENGINES = (
    "dutiful.engines.sqlite",
    "dutiful.engines.work_sqlite",
    "dutiful.model.ids",
    "dutiful.testing.running",
)

LEFT_OUT = {
    "dutiful.worker.child_process": "a simulated child stands for it",
    "dutiful.worker.liveness": "simulated files stand for it",
    "dutiful.worker.health": "an HTTP server, of which nothing depends",
    "dutiful.worker.processes": "the supervisor of real processes; the simulation has one of its own",
    "dutiful.worker.reload": "for development",
}


def modules() -> list[ModuleType]:
    """The real modules that run in the simulated world."""
    names = [f"dutiful.worker.{found.name}" for found in pkgutil.iter_modules(dutiful.worker.__path__)]
    loaded = []
    for name in [*names, *ENGINES]:
        if name not in LEFT_OUT:
            try:
                loaded.append(importlib.import_module(name))
            except ModuleNotFoundError:
                assert name in ENGINES  # not written yet
    return loaded


class Turns:
    """Stands for the turns of writers, which are for fairness only."""

    def __init__(self, path: str) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *raised: object) -> None: ...

    def close(self) -> None: ...


@contextmanager
def simulated(world: Scheduler, seed: str, engine_of: Any) -> Iterator[None]:
    """Within, the worker's modules know this world only. ``engine_of(url)`` opens a second engine."""
    chance = random.Random(f"{seed}/product")
    stands: dict[ModuleType, Any] = {
        threading: threads.Threading(world),
        queue: threads.Queue(world),
        time: threads.Time(world),
        random: chance,
        os: threads.Os(world, random.Random(f"{seed}/urandom")),
        socket: threads.Socket(world),
    }
    put: list[tuple[ModuleType, str, Any]] = []

    def replace(module: ModuleType, name: str, value: Any) -> None:
        if hasattr(module, name):
            put.append((module, name, getattr(module, name)))
            setattr(module, name, value)

    found = modules()
    worker = importlib.import_module("dutiful.worker.worker")
    chores = importlib.import_module("dutiful.worker.chores")
    child = importlib.import_module("dutiful.worker.child")
    sqlite = importlib.import_module("dutiful.engines.sqlite")
    ids = importlib.import_module("dutiful.model.ids")
    tokens = random.Random(f"{seed}/tokens")
    try:
        for module in found:
            for name, value in list(vars(module).items()):
                if isinstance(value, ModuleType) and value in stands:
                    replace(module, name, stands[value])
        replace(worker, "open_engine", engine_of)
        replace(worker, "WorkerFile", file_class(world))
        replace(worker, "worker_token", lambda: f"{world.process.pid}-{tokens.randbytes(4).hex()}")
        replace(chores, "liveness", Liveness(world))
        for module in (worker, chores):
            replace(module, "record_folder", lambda engine: "/nowhere/simulated")
        replace(child, "ChildProcess", children_class(world))
        replace(sqlite, "Turn", Turns)
        for name, result in (("affected", False), ("watch", 0), ("refuse_network", None)):
            replace(sqlite, name, lambda *args, result=result: result)
        for name in ("claim_file", "release_file"):
            replace(sqlite, name, lambda *args: None)
        replace(ids, "_maker", ids.IdMaker(stands[time].time_ns, stands[os].urandom))
        yield
    finally:
        for module, name, value in reversed(put):
            setattr(module, name, value)
