"""The faults of a chaos run, each a small function that does one and says which it did."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable

import psycopg

from devtools.servers import PostgresServer
from tests.chaos.stage import Stage, Worker
from tests.processes.support.proxy import Proxy

LEASE_S = 1.0

Fault = Callable[[], str | None]
"""Does something, or nothing (None); its name is counted."""


class Processes:
    """kill -9, and SIGSTOP for longer than the lease or not."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance

    def kill(self) -> str:
        worker = self._chance.choice(self._stage.workers)
        self._stage.note("kill", lane=worker.lane, pid=worker.process.pid)
        worker.kill()
        worker.stopped_until = 0.0
        worker.again()
        return "kill -9"

    def stop(self) -> str | None:
        worker = self._chance.choice(self._stage.workers)
        if worker.stopped_until:
            return None
        long = self._chance.random() < 0.7
        seconds = LEASE_S * (self._chance.uniform(1.5, 4.0) if long else self._chance.uniform(0.05, 0.8))
        self._stage.note("stop", lane=worker.lane, pid=worker.process.pid, seconds=round(seconds, 2))
        worker.stop(seconds)
        return "SIGSTOP > lease" if long else "SIGSTOP < lease"


class Server:
    """What may happen to PostgreSQL: a crash, sessions ended at COMMIT, answers cut off."""

    def __init__(self, stage: Stage, server: PostgresServer, proxy: Proxy, chance: random.Random) -> None:
        self._stage = stage
        self._server = server
        self._proxy = proxy
        self._chance = chance
        self._crashed_at = time.monotonic()

    def crash(self) -> str | None:
        if time.monotonic() - self._crashed_at < 30:
            return None
        self._crashed_at = time.monotonic()
        self._stage.note("crash of the server")
        self._server.restart("immediate")
        return "pg_ctl stop -m immediate"

    def end_at_commit(self) -> str | None:
        """End a session that is in the middle of its COMMIT."""
        caught = 0
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._stage.url, autocommit=True) as raw:
            until = time.monotonic() + 0.5
            while time.monotonic() < until and not caught:
                caught = len(
                    raw.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'dutiful' AND state = 'active' AND query = 'COMMIT'"
                        " LIMIT 1"
                    ).fetchall()
                )
        if caught:
            self._stage.note("session ended at COMMIT")
        return "pg_terminate_backend at COMMIT" if caught else None

    def cut_commit(self) -> str:
        when = self._chance.choice(["before", "unanswered", "forwarded", "silent", "late"])
        self._proxy.trap("COMMIT", when, hold_s=self._chance.uniform(0.1, 1.5))  # type: ignore[arg-type]
        self._stage.note("COMMIT cut", when=when)
        return f"COMMIT cut: {when}"

    def cut_claim(self) -> str:
        when = self._chance.choice(["before", "unanswered"])
        self._proxy.trap("gen_random_uuid()", when)  # type: ignore[arg-type]
        self._stage.note("claim cut", when=when)
        return f"claim cut: {when}"


class Neighbours:
    """What else may happen to a SQLite file: another program that holds the lock, or an old snapshot."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance

    def lock(self) -> str:
        seconds = self._chance.uniform(0.1, 3.0)
        self._stage.note("lock held", seconds=round(seconds, 2))
        threading.Thread(target=self._hold, args=("BEGIN IMMEDIATE", seconds), daemon=True).start()
        return "lock held by another program"

    def read(self) -> str:
        seconds = self._chance.uniform(0.5, 5.0)
        threading.Thread(target=self._hold, args=("BEGIN", seconds), daemon=True).start()
        return "old snapshot held"

    def _hold(self, begin: str, seconds: float) -> None:
        import sqlite3

        raw = sqlite3.connect(self._stage.url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
        with contextlib.suppress(sqlite3.Error), contextlib.closing(raw):
            raw.execute("PRAGMA wal_autocheckpoint = 0")
            raw.execute(begin)
            raw.execute("SELECT count(*) FROM chaos_work").fetchall()
            time.sleep(seconds)
            raw.execute("ROLLBACK")


class SecondHost:
    """A network namespace: its workers reach the server by a cable that can be pulled."""

    NAME = f"dutiful{os.getpid() % 1000}"
    HERE, THERE = "10.213.77.1", "10.213.77.2"

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self._cable = f"veth{self.NAME[-3:]}"

    @classmethod
    def possible(cls) -> bool:
        """Whether this machine lets us make one."""
        made = _quiet("ip", "netns", "add", f"{cls.NAME}x")
        return made and _quiet("ip", "netns", "del", f"{cls.NAME}x") and _quiet("ip", "link", "show", "lo")

    def open(self) -> bool:
        name, here, there = self.NAME, self._cable, f"{self._cable}b"
        return all(
            _quiet(*words)
            for words in (
                ("ip", "netns", "add", name),
                ("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name),
                ("ip", "addr", "add", f"{self.HERE}/24", "dev", here),
                ("ip", "link", "set", here, "up"),
                ("ip", "-n", name, "addr", "add", f"{self.THERE}/24", "dev", there),
                ("ip", "-n", name, "link", "set", there, "up"),
                ("ip", "-n", name, "link", "set", "lo", "up"),
            )
        )

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that is to run there."""
        return ("ip", "netns", "exec", self.NAME)

    def unplug(self) -> str:
        seconds = LEASE_S * self._chance.uniform(1.5, 5.0)
        self._stage.note("host cut off", seconds=round(seconds, 2))
        _quiet("ip", "link", "set", self._cable, "down")
        threading.Timer(seconds, _quiet, ("ip", "link", "set", self._cable, "up")).start()
        return "second host cut off"

    def plug(self) -> None:
        _quiet("ip", "link", "set", self._cable, "up")

    def close(self) -> None:
        _quiet("ip", "link", "del", self._cable)
        _quiet("ip", "netns", "del", self.NAME)


def _quiet(*words: str) -> bool:
    try:
        return subprocess.run(words, capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class Storm:
    """Faults at random, by weight; ``done`` counts them."""

    def __init__(self, chance: random.Random, faults: list[tuple[Fault, float]], every_s: float) -> None:
        self.done: Counter[str] = Counter()
        self._chance = chance
        self._faults = faults
        self._every_s = every_s
        self._next = time.monotonic()

    def blow(self, workers: list[Worker]) -> None:
        """One fault, if it is time; and let go on who was stopped for long enough."""
        for worker in workers:
            worker.go_on()
            worker.again()
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every_s * self._chance.uniform(0.3, 1.7)
        [fault] = self._chance.choices([f for f, _ in self._faults], [w for _, w in self._faults])
        name = fault()
        if name:
            self.done[name] += 1
