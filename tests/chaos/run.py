"""One chaos run: the stage, the storm, the calm after it, the count."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools.servers import PostgresServer
from dutiful.engines.urls import open_engine
from dutiful.operations import verify
from tests.chaos.counting import Count, count
from tests.chaos.faults import Fault, Neighbours, Processes, SecondHost, Server, Storm
from tests.chaos.jobs_names import CONTROLS, LANES
from tests.chaos.stage import Stage, Worker
from tests.processes.support.proxy import Proxy

PROCESSES = 8
EVERY_S = 0.6
CALM_S = 180.0
DOUBLED_MIN = 20
"""So many doubled duties a control must show in a full run, or the storm was too weak to say anything."""

SETTINGS = {"fsync": "on", "commit_delay": "3000", "commit_siblings": "0", "max_connections": "300"}
"""As in production; commits take a moment, so that they can be met in the middle."""

EngineName = Literal["sqlite", "postgres"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run gives back."""

    counts: list[Count]
    faults: Counter[str]
    findings: list[str]
    seconds: float
    folder: Path

    def problems(self, *, full: bool) -> list[str]:
        """Promises that were not kept; and controls that did not break, in a full run."""
        found = [f"verify: {finding}" for finding in self.findings]
        for one in self.counts:
            if one.lane not in CONTROLS:
                found += [f"{one.lane}: {sentence}" for sentence in one.wrong]
            elif full and one.doubled <= DOUBLED_MIN:
                found.append(f"{one.lane}: a control, and only {one.doubled} duties were doubled")
        return found


def run(engine: EngineName, *, seconds: float, seed: int, folder: Path) -> Report:
    """A storm of so many seconds on a store of its own; everything is left in ``folder``."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        began = time.monotonic()
        if engine == "sqlite":
            stage = Stage(f"sqlite:///{folder}/chaos.db", folder, LANES)
            stack.callback(stage.close)
            faults = _sqlite(stage, chance)
            host = None
        else:
            server = stack.enter_context(_postgres())
            stage = Stage(server.url(), folder, LANES)
            stack.callback(stage.close)
            faults, host = _on_postgres(stack, stage, server, chance)
        stage.note("begin", engine=engine, seed=seed, seconds=seconds)
        storm = Storm(chance, faults, EVERY_S)
        until = time.monotonic() + seconds
        produced = 0.0
        while time.monotonic() < until:
            if time.monotonic() - produced > 0.5:
                produced = time.monotonic()
                stage.produce()
            storm.blow(stage.workers)
            time.sleep(0.02)
        stage.note("calm")
        if host is not None:
            host.plug()
        _calm(stage)
        counts = [count(stage.seen(lane)) for lane in LANES]
        return Report(counts, storm.done, _verified(stage), time.monotonic() - began, folder)


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    server = PostgresServer(SETTINGS)
    server.start()
    try:
        yield server
    finally:
        server.remove()


def _sqlite(stage: Stage, chance: random.Random) -> list[tuple[Fault, float]]:
    for place in range(PROCESSES):
        stage.workers.append(Worker(stage, LANES[place % len(LANES)], stage.url))
    processes, neighbours = Processes(stage, chance), Neighbours(stage, chance)
    return [(processes.kill, 3), (processes.stop, 6), (neighbours.lock, 0.3), (neighbours.read, 0.3)]


def _on_postgres(
    stack: ExitStack, stage: Stage, server: PostgresServer, chance: random.Random
) -> tuple[list[tuple[Fault, float]], SecondHost | None]:
    proxy = Proxy(server.url())
    stack.callback(proxy.close)
    host = SecondHost(stage, chance) if SecondHost.possible() else None
    if host is not None:
        stack.callback(host.close)
        if not host.open():
            host = None
    for place in range(PROCESSES):
        lane = LANES[place % len(LANES)]
        # The second worker of each lane sits behind the proxy; those that must hold, a third on another host.
        stage.workers.append(Worker(stage, lane, proxy.url if place >= len(LANES) else stage.url))
    processes, at_server = Processes(stage, chance), Server(stage, server, proxy, chance)
    faults: list[tuple[Fault, float]] = [
        (processes.kill, 3),
        (processes.stop, 6),
        (at_server.crash, 0.2),
        (at_server.end_at_commit, 0.7),
        (at_server.cut_commit, 2),
        (at_server.cut_claim, 0.3),
    ]
    if host is not None:
        far = Proxy(server.url(), host=SecondHost.HERE)
        stack.callback(far.close)
        for lane in ("exactly", "at_most"):
            stage.workers.append(Worker(stage, lane, far.url, host.prefix))
        faults.append((host.unplug, 0.4))
    return faults, host


def _calm(stage: Stage) -> None:
    """No more faults: everybody goes on, and what is open comes to its end."""
    for worker in stage.workers:
        worker.stopped_until = min(worker.stopped_until, time.monotonic()) if worker.stopped_until else 0.0
    deadline = time.monotonic() + CALM_S
    while time.monotonic() < deadline:
        for worker in stage.workers:
            worker.go_on()
            worker.again()
        if all(left == 0 for left in stage.left().values()):
            return
        time.sleep(0.2)
    stage.note("not calm", left=stage.left())


def _verified(stage: Stage) -> list[str]:
    """What ``dutiful verify --full`` says of the lanes that must hold."""
    engine = open_engine(stage.url)
    with contextlib.closing(engine):
        return [
            f"{lane} {finding.invariant}: {finding.summary} {finding.rows[:2]}"
            for lane in LANES
            if lane not in CONTROLS
            for finding in engine.run(verify.check(f"chaos-{lane}", full=True))
        ]
