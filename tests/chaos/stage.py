"""The stage of a chaos run: one store, workers on each lane, a producer, and what they left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dutiful import App
from dutiful.model.errors import DutifulError
from dutiful.operations import inspect
from tests.chaos.counting import Seen, said

ROOT = Path(__file__).parents[2]
LEASE = "1s"
OPEN_MAX = 40
"""So many duties of a lane are kept open: enough to keep its workers busy, few enough to end soon."""

DELIVERIES = {
    "exactly": "exactly_once",
    "by_id": "exactly_once",
    "at_most": "at_most_once",
    "two_tx": "at_least_once",
}


class Stage:
    """``url`` is the store as this process reaches it; workers may be given another way to it."""

    def __init__(self, url: str, folder: Path, lanes: tuple[str, ...]) -> None:
        self.url = url
        self.folder = folder
        self.lanes = lanes
        self.duties = dict.fromkeys(lanes, 0)
        self.workers: list[Worker] = []
        self.history = folder / "history.jsonl"
        self.apps = {lane: _producer(lane, url) for lane in lanes}
        next(iter(self.apps.values())).migrate()
        self.sql("CREATE TABLE chaos_work (lane text, duty bigint, run_no bigint)")

    def note(self, what: str, **about: Any) -> None:
        """One line of the history: what the controller did, and when."""
        with self.history.open("a") as file:
            file.write(json.dumps({"at": round(time.time(), 3), "what": what, **about}) + "\n")

    def sql(self, text: str, *params: Any) -> list[Any]:
        """By a connection of this process's own; parameters are ``?``."""
        if self.url.startswith("postgres"):
            import psycopg

            with psycopg.connect(self.url, autocommit=True) as raw:
                cursor = raw.execute(text.replace("?", "%s"), params)
                return cursor.fetchall() if cursor.description else []
        import sqlite3

        path = self.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as file:
            file.execute("PRAGMA wal_autocheckpoint = 0")
            return file.execute(text, params).fetchall()

    def produce(self) -> None:
        """Keep each lane's workers busy."""
        for lane, app in self.apps.items():
            with contextlib.suppress(DutifulError):
                left = app.engine.run(inspect.unfinished(app.name, ["default"], app.known()))
                for _ in range(max(0, OPEN_MAX - left.ready - left.running)):
                    app.tasks["work"].enqueue(self.duties[lane])
                    self.duties[lane] += 1

    def left(self) -> dict[str, int]:
        """How many jobs of each lane are ready or running; -1 where the store does not say."""
        found = dict.fromkeys(self.lanes, -1)
        for lane, app in self.apps.items():
            with contextlib.suppress(DutifulError):
                left = app.engine.run(inspect.unfinished(app.name, ["default"], app.known()))
                found[lane] = left.ready + left.running
        return found

    def seen(self, lane: str) -> Seen:
        """All evidence of one lane."""
        works = Counter(row[0] for row in self.sql("SELECT duty FROM chaos_work WHERE lane = ?", lane))
        begins, ends = said(self.folder / f"{lane}.log")
        return Seen(lane, self.duties[lane], works, begins, ends, self._states(lane))

    def _states(self, lane: str) -> dict[int, str]:
        dot = "dutiful." if self.url.startswith("postgres") else "dutiful_"
        rows = self.sql(
            f"SELECT x.key, x.state FROM (SELECT key, state, lane FROM {dot}job"
            f" UNION ALL SELECT key, 'dead', lane FROM {dot}dead UNION ALL"
            f" SELECT key, state || '(' || coalesce(outcome, '') || ')', lane FROM {dot}history) AS x"
            f" JOIN {dot}lane AS l ON l.id = x.lane WHERE l.app = ?",
            f"chaos-{lane}",
        )
        return {int(key.removeprefix("work:")): state for key, state in rows}

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        for app in self.apps.values():
            app.close()


def _producer(lane: str, url: str) -> App:
    """The lane's app with its task declared, but for a body."""
    app = App(f"chaos-{lane}", url)
    delivery: Any = DELIVERIES[lane]

    @app.task(name="work", once="work:{duty}", delivery=delivery)
    def work(duty: int) -> None: ...

    return app


class Worker:
    """One worker process of a lane, which is started again when it was killed."""

    def __init__(self, stage: Stage, lane: str, url: str, prefix: tuple[str, ...] = ()) -> None:
        self.stage = stage
        self.lane = lane
        self.url = url
        self.prefix = prefix
        self.stopped_until = 0.0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "CHAOS_URL": self.url,
            "CHAOS_LANE": self.lane,
            "CHAOS_FOLDER": str(self.stage.folder),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        command = [sys.executable, "-m", "dutiful", "worker", "tests.chaos.jobs:app", "--lease", LEASE]
        with open(self.stage.folder / f"workers-{self.lane}.log", "ab") as out:
            return subprocess.Popen(
                [*self.prefix, *command, "--concurrency", "4"],
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9, children included."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def again(self) -> None:
        """Start it anew, if it has ended."""
        if self.process.poll() is not None:
            self.process = self._start()

    def stop(self, seconds: float) -> None:
        """SIGSTOP, for longer than the lease or not."""
        self._signal(signal.SIGSTOP)
        self.stopped_until = time.monotonic() + seconds

    def go_on(self) -> None:
        """SIGCONT when its time has come."""
        if self.stopped_until and time.monotonic() >= self.stopped_until:
            self.stopped_until = 0.0
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)
