"""Ruby processes with the commands of the gem redis-semaphore share a semaphore with ours, and are killed.

Each says when it was let in and when it still held, by the server's clock. ``over`` counts the instants at
which one was let in and more than the slots held: at our grants (which must not be) and at those of the gem
(which its own release of stale tokens may bring about: ``--mode stale``).

``python -m tests.processes.semaphore --port PORT --turns 1000`` is a campaign; it prints what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dutiful.bridges.redis_semaphore import RedisSemaphore
from dutiful.model.errors import LockError

SLOTS = 3
STALE_S = 5.0
RUBY = Path(__file__).parent / "support" / "redis_semaphore.rb"


def hold(port: int, path: str, seed: int) -> None:
    """One process of ours."""
    chance = random.Random(seed)
    url = f"redis://127.0.0.1:{port}"
    semaphore = RedisSemaphore(
        url, "s", slots=SLOTS, lease="2s", wait="20s", stale=STALE_S, lost_after=STALE_S
    )
    me = f"ours {os.getpid()}"
    with open(path, "a", buffering=1) as out:
        while True:
            try:
                with semaphore as held:
                    until = time.monotonic() + chance.expovariate(50)
                    what = "took"
                    while True:
                        seconds, micros = semaphore._redis.time()
                        if held.trusted:
                            line = {"who": me, "token": str(held.grant_no), "what": what}
                            out.write(json.dumps({**line, "at": seconds + micros / 1e6}) + "\n")
                        what = "holds"
                        if time.monotonic() > until:
                            break
                        time.sleep(0.003)
            except LockError as error:
                out.write(json.dumps({"error": type(error).__name__}) + "\n")


def judged(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often whose grant was one too many. A gem's holder that our side may call stale is none."""
    spans: list[tuple[float, float, str]] = []
    under_way: dict[str, tuple[str, float, float]] = {}
    for line in lines:
        if "who" not in line:
            continue
        who, at = line["who"], line["at"]
        if line["what"] == "took":
            if who in under_way:
                _, first, last = under_way[who]
                spans.append((first, last, who))
            under_way[who] = (line["token"], at, at)
        elif who in under_way:
            token, first, _ = under_way[who]
            under_way[who] = (token, first, at)
    spans += [(first, last, who) for who, (_, first, last) in under_way.items()]
    spans.sort()
    over = {"ours": 0, "ruby": 0}
    for index, (at, _, who) in enumerate(spans):
        holders = 1
        for other_at, other_end, other in spans[max(0, index - 200) : index]:
            stale = other.startswith("ruby") and other_end - other_at > STALE_S
            holders += other_end > at and not stale
        if holders > SLOTS:
            over[who.split()[0]] += 1
    numbers = [int(line["token"]) for line in lines if line.get("what") == "took" and "ours" in line["who"]]
    return {
        "turns_ours": sum(who.startswith("ours") for _, _, who in spans),
        "turns_ruby": sum(who.startswith("ruby") for _, _, who in spans),
        "over_at_our_grants": over["ours"],
        "over_at_the_gems": over["ruby"],
        "numbers_twice": len(numbers) - len(set(numbers)),
    }


def campaign(port: int, *, turns: int, seed: int, mode: str = "plain", kills: bool = True) -> dict[str, Any]:
    """Three processes of each side, until so many turns were had (or 400 s have passed)."""
    chance = random.Random(seed)
    ruby = shutil.which("ruby")
    assert ruby is not None
    killed = {"ours": 0, "ruby": 0}
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "lines"
        told.touch()
        running: list[tuple[str, subprocess.Popen[bytes]]] = []

        def start(side: str) -> None:
            number = str(chance.randrange(10**9))
            if side == "ruby":
                words = [ruby, str(RUBY), str(port), "s", str(SLOTS), str(told), number, mode]
            else:
                words = [sys.executable, "-m", "tests.processes.semaphore", "--port", str(port)]
                words += ["--hold", str(told), "--seed", number]
            running.append((side, subprocess.Popen(words)))

        for side in ("ours", "ruby") * 3:
            start(side)
        end = time.monotonic() + 400
        done: dict[str, Any] = {}
        try:
            while time.monotonic() < end:
                time.sleep(chance.uniform(0.2, 0.8))
                done = judged(_read(told))
                if done["turns_ours"] + done["turns_ruby"] >= turns and done["turns_ours"] > turns // 10:
                    break
                assert all(process.poll() is None for _, process in running), "a process ended by itself"
                if kills:
                    side, victim = running.pop(chance.randrange(len(running)))
                    victim.kill()
                    victim.wait()
                    killed[side] += 1
                    start(side)
        finally:
            for _, process in running:
                with suppress(ProcessLookupError):
                    process.kill()
                process.wait()
        lines = _read(told)
    lost = sum(line.get("error") == "LockLost" for line in lines)
    return {**judged(lines), "killed": killed, "lost_ours": lost}


def _read(told: Path) -> list[dict[str, Any]]:
    lines = []
    for text in told.read_text().splitlines():
        with suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--mode", choices=["plain", "stale"], default="plain")
    parser.add_argument("--hold", default="")
    given = parser.parse_args()
    if given.hold:
        hold(given.port, given.hold, given.seed)
    print(json.dumps(campaign(given.port, turns=given.turns, seed=given.seed, mode=given.mode)))


if __name__ == "__main__":
    main()
