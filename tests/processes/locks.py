"""Processes that take locks while they are killed and stopped, and a look at when who held what.

Each holder writes down the store's clock when it was let in and again and again while it holds, and counts
an instant only if it trusted its lock after it had read the clock: so each line says "at this instant of the
store's clock the lock was mine". :func:`problems` reads all lines.

``python -m tests.processes.locks --url URL --turns 400 --seed 7`` is a campaign; it prints what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from dutiful import App
from dutiful.model.errors import LockError, StoreError
from dutiful.operations import health
from tests.contract.planting import planted

LEASE_S = 1.0
SLOTS = {"one": 1, "three": 3}

PLANTS: dict[str, dict[str, list[tuple[str, str]]]] = {
    "living holders are passed by": {
        "drop_lapsed_asks": [(r"until <= :now", "until <= :now + 900000")],
        "renew_asks": [(r"AND (a\.)?until > :now", "")],
    },
    "numbers begin anew": {"note_grant": [("SET grant_no = :grant_no", "SET grant_no = 0")]},
}
"""Bugs for the campaign to find."""


def hold(app: App, path: str, seed: int) -> None:
    """One process: takes a lock, holds it for a while, and says when it was its own."""
    chance = random.Random(seed)
    me = f"{os.getpid()}"
    with open(path, "a", buffering=1) as out:
        while True:
            name = chance.choice(list(SLOTS))
            try:
                with app.lock(name, lease=LEASE_S, slots=SLOTS[name], wait="20s") as held:
                    until = time.monotonic() + chance.expovariate(8)
                    while True:
                        now_us = app.engine.run(health.now())
                        if held.trusted:
                            line = {"name": name, "grant_no": held.grant_no, "at": now_us, "who": me}
                            out.write(json.dumps(line) + "\n")
                        if time.monotonic() > until:
                            break
                        time.sleep(0.003)
            except (LockError, StoreError) as error:
                out.write(json.dumps({"error": type(error).__name__}) + "\n")


def problems(lines: list[dict[str, Any]]) -> list[str]:
    """What the history shows that must not be."""
    found: list[str] = []
    for name, slots in SLOTS.items():
        mine: dict[int, list[int]] = defaultdict(list)
        owners: dict[int, set[str]] = defaultdict(set)
        for line in lines:
            if line.get("name") == name:
                mine[line["grant_no"]].append(line["at"])
                owners[line["grant_no"]].add(line["who"])
        found += [f"{name}: grant {n} was given to {len(who)}" for n, who in owners.items() if len(who) > 1]
        spans = [(min(ats), max(ats), number) for number, ats in mine.items()]
        ends = [(start, 0, n) for start, _, n in spans] + [(end, 1, n) for _, end, n in spans]
        now: set[int] = set()
        for at, over, number in sorted(ends):
            (now.discard if over else now.add)(number)
            if len(now) > slots:
                found.append(f"{name}: at {at} grants {sorted(now)} hold {slots} slots")
        # A grant comes before its first line, so that one with a smaller number may first speak later,
        # but never after one that could only be let in when it had gone.
        if slots == 1:
            ordered = sorted(spans, key=lambda span: span[2])
            for one, other in pairwise(ordered):
                if other[0] < one[1]:
                    found.append(f"{name}: grant {other[2]} began before grant {one[2]} ended")
    return found


def campaign(url: str, *, turns: int, seed: int, processes: int = 5, plant: str = "") -> dict[str, Any]:
    """Run until so many grants were seen (or 300 s have passed); returns what came of it."""
    chance = random.Random(seed)
    app = App("tests", url)
    app.migrate()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "lines"
        told.touch()
        running: list[subprocess.Popen[bytes]] = []
        counts = {"kills": 0, "stops": 0}

        def start() -> None:
            words = [sys.executable, "-m", "tests.processes.locks", "--url", url, "--hold", str(told)]
            words += ["--seed", str(chance.randrange(10**9)), "--plant", plant]
            running.append(subprocess.Popen(words))

        for _ in range(processes):
            start()
        end = time.monotonic() + 300
        try:
            while time.monotonic() < end and len(_grants(told)) < turns:
                time.sleep(chance.uniform(0.1, 0.6))
                if any(process.poll() is not None for process in running):
                    raise AssertionError("a holder ended by itself")
                victim = chance.choice(running)
                if chance.random() < 0.5:
                    victim.kill()
                    victim.wait()
                    running.remove(victim)
                    counts["kills"] += 1
                    start()
                else:
                    os.kill(victim.pid, signal.SIGSTOP)
                    time.sleep(chance.choice([0.2, 1.6]) * LEASE_S)
                    os.kill(victim.pid, signal.SIGCONT)
                    counts["stops"] += 1
        finally:
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
                process.kill()
                process.wait()
        lines = _read(told)
    from dutiful.operations import verify

    broken = [finding.summary for finding in app.engine.run(verify.check(None, full=True))]
    app.close()
    lost = sum(line.get("error") == "LockLost" for line in lines)
    grants = {(line["name"], line["grant_no"]) for line in lines if "name" in line}
    others = sum("error" in line for line in lines) - lost
    return {
        "grants": len(grants),
        "instants": len(lines),
        "lost": lost,
        "other_errors": others,
        **counts,
        "problems": problems(lines),
        "verify": broken,
    }


def _read(told: Path) -> list[dict[str, Any]]:
    lines = []
    for text in told.read_text().splitlines():
        with suppress(ValueError):  # its writer was killed in the middle
            lines.append(json.loads(text))
    return lines


def _grants(told: Path) -> set[tuple[str, int]]:
    return {(line["name"], line["grant_no"]) for line in _read(told) if "name" in line}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--plant", default="")
    parser.add_argument("--hold", default="")
    given = parser.parse_args()
    if given.hold:
        app = App("tests", given.url)
        if given.plant:
            with planted(app.engine.name, PLANTS[given.plant]):
                hold(app, given.hold, given.seed)
        hold(app, given.hold, given.seed)
    options = {"turns": given.turns, "seed": given.seed, "processes": given.processes}
    print(json.dumps(campaign(given.url, plant=given.plant, **options), indent=2))


if __name__ == "__main__":
    main()
