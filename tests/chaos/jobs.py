"""What the workers of a chaos run do: one lane each, and two of the lanes are controls that must break.

A lane is an app of its own in the one store. ``exactly`` works in its transaction, ``at_most`` appends to a
file outside. ``by_id`` is exactly_once with its fences taken out: a zombie's completion counts. ``two_tx``
commits its work by itself, before the job's completion.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

from msgspec.structs import replace

from dutiful import App, Retry, Run
from dutiful.app.transactions import Transaction
from dutiful.sql import statements

URL = os.environ["CHAOS_URL"]
LANE = os.environ["CHAOS_LANE"]
FOLDER = os.environ["CHAOS_FOLDER"]


app = App(f"chaos-{LANE}", URL)
chance = random.Random()

OFTEN = Retry(1000, first="0.2s", longest="1s")
"""A database that is stopped in the middle of a body is an error of that body: it is tried again."""

INSERT = "INSERT INTO chaos_work (lane, duty, run_no) VALUES (:lane, :duty, :run_no)"


def say(word: str, duty: int, run: Run) -> None:
    """Append one line, whole: what a process did before it was killed stays."""
    line = f"{word} {duty} {run.run_no} {os.getpid()}\n".encode()
    descriptor = os.open(f"{FOLDER}/{LANE}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def nap(share: float = 1.0) -> None:
    """Some bodies are short, some are longer than the lease."""
    time.sleep(share * (chance.uniform(0.2, 1.5) if chance.random() < 0.15 else chance.uniform(0.01, 0.2)))


def own_connection() -> Any:
    """A connection of the body's own, which commits by itself."""
    if URL.startswith("postgres"):
        import psycopg

        return psycopg.connect(URL, autocommit=True)
    import sqlite3

    raw = sqlite3.connect(URL.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
    raw.execute("PRAGMA wal_autocheckpoint = 0")
    return raw


if LANE in ("exactly", "by_id"):

    @app.task(name="work", once="work:{duty}", delivery="exactly_once", retry=OFTEN)
    def work(duty: int, *, run: Run) -> None:
        nap()
        with run.transaction() as tx:
            inside(tx, duty, run)

    def inside(tx: Transaction, duty: int, run: Run) -> None:
        tx.execute(INSERT, {"lane": LANE, "duty": duty, "run_no": run.run_no})
        # On SQLite everybody waits for this one, so it is short there.
        nap(2.0 if URL.startswith("postgres") else 0.05)

elif LANE == "at_most":

    @app.task(name="work", once="work:{duty}", delivery="at_most_once")
    def work(duty: int, *, run: Run) -> None:
        say("begin", duty, run)
        nap()
        say("end", duty, run)

else:

    @app.task(name="work", once="work:{duty}", retry=OFTEN)
    def work(duty: int, *, run: Run) -> None:
        nap()
        raw = own_connection()
        mark = "%s, %s, %s" if URL.startswith("postgres") else "?, ?, ?"
        raw.execute(f"INSERT INTO chaos_work (lane, duty, run_no) VALUES ({mark})", (LANE, duty, run.run_no))
        raw.close()
        nap()


def without_fences() -> None:
    """The planted bug of ``by_id``: the ledger's key is the run's own, and a completion asks for no token."""
    for engine in ("postgres", "sqlite"):
        known = statements(engine)
        for name, changes in PLANTS[engine].items():
            text = known[name].text
            for old, new in changes:
                assert old in text, (engine, name, old)
                text = text.replace(old, new)
            known[name] = replace(known[name], text=text)


PLANTS: dict[str, dict[str, list[tuple[str, str]]]] = {
    "postgres": {
        "begin_work": [("VALUES (:app, :task, :key,", "VALUES (:app, :task, :token::text,")],
        "finish_work": [
            ("WHERE j.id = :id::uuid AND j.token = :token::uuid", "WHERE j.id = :id::uuid"),
            ("AND g.key = :key", "AND g.key = :token::text"),
            ("|| ' ' || k.token, true)\n  FROM kept AS k", "|| ' ' || :token::text, true)"),
        ],
    },
    "sqlite": {
        "begin_work": [("VALUES (:app, :task, :key,", "VALUES (:app, :task, :token,")],
        "finish_work": [
            ("WHERE j.id = :id AND j.token = :token", "WHERE j.id = :id"),
            ("WHERE id = :id AND token = :token", "WHERE id = :id"),
            ("AND g.key = :key", "AND g.key = :token"),
            ("RETURNING token", ";\nSELECT :token"),
        ],
    },
}

if LANE == "by_id":
    without_fences()
