"""Forgets old endings as a worker's chore does, from a process of its own: ``python -m bench.pruning``.

It says "ready", waits for a line, and then prunes piece after piece until nothing old is left, with the rests
that a worker makes. Its last line is JSON: seconds and pieces.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.subject import URL_VARIABLE

OLD = "SELECT EXISTS (SELECT 1 FROM {history} WHERE finished_at < {before})"


@contextmanager
def beside() -> Iterator[Callable[[], Callable[[], Any]]]:
    """``with beside() as begin``: ``begin()`` starts the pruning, and what it returns waits for its end."""
    command = [sys.executable, "-m", "bench.pruning"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin and child.stdout
    told, heard = child.stdin, child.stdout

    def begin() -> Callable[[], Any]:
        told.write("go\n")
        told.flush()
        return lambda: json.loads(heard.readline())

    try:
        assert heard.readline() == "ready\n", "the pruning did not start"
        yield begin
    finally:
        child.kill()
        child.wait()


def asker(url: str, keep_us: int) -> Callable[[], bool]:
    """A function that says whether anything is old."""
    if url.startswith("sqlite:"):
        file = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        name, ask = "dutiful_history", lambda text: file.execute(text).fetchone()
    else:
        import psycopg

        session = psycopg.connect(url, autocommit=True)
        name, ask = "dutiful.history", lambda text: session.execute(text).fetchone()

    def old() -> bool:
        return bool(ask(OLD.format(history=name, before=time.time_ns() // 1_000 - keep_us))[0])

    return old


def main() -> None:
    from dutiful import App
    from dutiful.operations import retention
    from dutiful.worker.chores import PRUNE_REST, SOON_S

    url = os.environ[URL_VARIABLE]
    app = App("bench", url)
    app.engine.check_schema()
    old = asker(url, app.keep_us)
    print("ready", flush=True)
    sys.stdin.readline()
    began, pieces = time.monotonic(), 0
    while old():
        piece_began = time.monotonic()
        app.engine.run(retention.prune(app.keep_us))
        pieces += 1
        time.sleep(max(SOON_S, PRUNE_REST * (time.monotonic() - piece_began)))
    print(json.dumps({"seconds": time.monotonic() - began, "pieces": pieces}), flush=True)


if __name__ == "__main__":
    main()
