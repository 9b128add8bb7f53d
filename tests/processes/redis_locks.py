"""Processes that take locks in a real Redis while they are killed, and a look at who held what.

As in ``locks.py``, each line says "at this instant of the server's clock the lock was mine"; and each process
says when it begins to ask, so that the campaign kills some who hold and some who wait. A lock must go on
after each death: when nobody is let in for ``PATIENCE_S``, and when a living process is not let in once more
after the killing has ended, that is a problem, too.

``python -m tests.processes.redis_locks --turns 1000 --seed 7`` is a campaign with a server of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from devtools.servers import RedisServer
from dutiful import App
from dutiful.bridges import redis_scripts
from dutiful.bridges.redis_locks import RedisLocks
from dutiful.model.errors import LockError, StoreError
from tests.processes.locks import LEASE_S, SLOTS, _grants, _read, problems

PATIENCE_S = 60.0

PLANTS: dict[str, tuple[str, str, str]] = {
    "living holders are passed by": ("ASK", "- redis.call('ZCARD', holders) - before", "- before"),
    "dead holders are kept": (
        "ASK",
        "for _, gone in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', now)) do forget(gone) end",
        "",
    ),
    "dead waiters are kept": (
        "ASK",
        "for _, gone in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now)) do forget(gone) end",
        "",
    ),
    "numbers begin anew": (
        "ASK",
        "math.max(tonumber(redis.call('HGET', lock, 'grant_no') or 0) + 1, now)",
        "redis.call('ZCARD', holders) + 1",
    ),
}
"""Bugs for the campaign to find: a script, what is in it, and what stands there instead."""


def plant(name: str) -> None:
    """Breaks a script in this process."""
    script, found, instead = PLANTS[name]
    text = getattr(redis_scripts, script)
    assert text.count(found) == 1, f"{found!r} is not there any more"
    setattr(redis_scripts, script, text.replace(found, instead))


def hold(url: str, path: str, seed: int) -> None:
    """One process: asks for a lock, holds it for a while, and says when it was its own."""
    chance = random.Random(seed)
    me = f"{os.getpid()}"
    locks = RedisLocks(url)
    app = App("tests", f"sqlite:///{path}.{me}.db", locks=locks)
    with open(path, "a", buffering=1) as out:
        while True:
            name = chance.choice(list(SLOTS))
            try:
                out.write(json.dumps({"asks": me}) + "\n")
                with app.lock(name, lease=LEASE_S, slots=SLOTS[name], wait="5m") as held:
                    until = time.monotonic() + chance.expovariate(8)
                    while True:
                        seconds, micros = locks._redis.time()
                        if held.trusted:
                            now_us = seconds * 1_000_000 + micros
                            line = {"name": name, "grant_no": held.grant_no, "at": now_us, "who": me}
                            out.write(json.dumps(line) + "\n")
                        if time.monotonic() > until:
                            break
                        time.sleep(0.003)
            except (LockError, StoreError) as error:
                out.write(json.dumps({"error": type(error).__name__}) + "\n")


START_S = 30.0
"""How long a new process may take until it asks for its first lock."""


class Crew:
    """The processes, and what they have said so far."""

    def __init__(self, url: str, told: Path, chance: random.Random, plant: str) -> None:
        self.url, self.told, self.plant = url, told, plant
        self.chance = chance
        self.running: list[Any] = []
        # A fork of a process that has loaded everything: a start costs 20 ms and not a second.
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload([__name__])

    def start(self) -> None:
        given = (self.url, str(self.told), self.chance.randrange(10**9), self.plant)
        process = self._forks.Process(target=one, args=given, daemon=True)
        process.start()
        self.running.append(process)

    def kill_one(self, doing: str) -> str:
        """Kills one that "holds" or "waits", if there is one, else another; says which it was."""
        able: list[Any] = []
        end = time.monotonic() + START_S
        while not able and time.monotonic() < end:  # all may have been started a moment ago
            last: dict[str, str] = {}
            for line in _read(self.told):
                if "error" not in line:
                    last[line.get("who") or line["asks"]] = "waits" if "asks" in line else "holds"
            able = [process for process in self.running if str(process.pid) in last]
            time.sleep(0 if able else 0.02)
        assert able, f"none of those that run has said anything for {START_S:.0f} s"
        wanted = [process for process in able if last[str(process.pid)] == doing] or able
        victim = self.chance.choice(wanted)
        assert victim.is_alive(), "a holder ended by itself"
        victim.kill()
        victim.join()
        self.running.remove(victim)
        self.start()
        return last[str(victim.pid)]

    def let_in(self, patience_s: float) -> bool:
        """Whether each process that lives is let in once more from now on, within the patience."""
        before = len(_read(self.told))
        end = time.monotonic() + patience_s
        living = {str(process.pid) for process in self.running}
        while time.monotonic() < end:
            if living <= {line.get("who") for line in _read(self.told)[before:]}:
                return True
            time.sleep(0.1)
        return False

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.join()


def one(url: str, path: str, seed: int, broken: str) -> None:
    """What each process does until it is killed."""
    if broken:
        plant(broken)
    hold(url, path, seed)


def campaign(
    url: str,
    *,
    turns: int,
    seed: int,
    processes: int = 5,
    plant: str = "",
    patience_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """Kill one after each few grants until so many were seen, then let the living go on; what came of it."""
    chance = random.Random(seed)
    killed = {"holds": 0, "waits": 0}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "lines"
        told.touch()
        crew = Crew(url, told, chance, plant)
        try:
            for _ in range(processes):
                crew.start()
            count = 0
            while count < turns and not wrong:
                wanted = count + chance.randint(1, 4)
                end = time.monotonic() + patience_s
                while (now := len(_grants(told))) < wanted and time.monotonic() < end:
                    time.sleep(0.02)
                if now == count:
                    wrong = [f"nobody was let in for {patience_s:.0f} s"]
                    break
                count = now
                killed[crew.kill_one(chance.choice(["holds", "waits"]))] += 1
                wrong = problems(_read(told))
            if not wrong and not crew.let_in(patience_s):
                wrong = [f"somebody waited for {patience_s:.0f} s after the last death"]
        finally:
            crew.end()
        lines = _read(told)
    lost = sum(line.get("error") == "LockLost" for line in lines)
    return {
        "grants": len({(line["name"], line["grant_no"]) for line in lines if "name" in line}),
        "instants": sum("name" in line for line in lines),
        "killed": killed,
        "lost": lost,
        "other_errors": sum("error" in line for line in lines) - lost,
        "problems": problems(lines) or wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="")
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--plant", default="", choices=["", *PLANTS])
    given = parser.parse_args()
    options = {"turns": given.turns, "seed": given.seed, "processes": given.processes, "plant": given.plant}
    if given.url:
        print(json.dumps(campaign(given.url, **options), indent=2))
        return
    with RedisServer() as server:
        print(json.dumps(campaign(server.url(), **options), indent=2))


if __name__ == "__main__":
    from tests.processes import redis_locks  # by its name, so that forks find what is preloaded

    redis_locks.main()
