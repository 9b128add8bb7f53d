"""What stands between us and a PostgreSQL server, told by how it behaves; and what only a session of one's
own can tell: whose clock is off, and whether this role may end its sessions.

A pooler hands out cancel keys of its own, so the server's process is not the one that was told at
connecting. One that pools by transaction lends a session to the next client as soon as it is idle: that
client finds itself in the same process, while the first is still connected.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Literal

from ..model.spans import span
from .notes import Note, bad, note, skipped, unknown, well

Mode = Literal["none", "session", "transaction", "statement"]

SKEW_US = 2_000_000
LOOKS = 3
ENDED_S = 5.0
DIRECT = "dutiful doctor --store URL, with the server's own address."
PID = "SELECT pg_catalog.pg_backend_pid()"
NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def session(engine: Any) -> Iterator[Note]:
    """All of it, by connections of its own, closed again."""
    with engine.connect() as connection:
        mode = mode_of(engine, connection)
        yield pooler(mode, declared=engine.pooler)
        yield clock(*skew(connection))
        yield from ending(engine, connection, mode)


def mode_of(engine: Any, first: Any) -> Mode:
    """What is between, by behaviour."""
    direct = first.info.backend_pid == _pid(first)
    for _ in range(LOOKS):
        mine = _pid(first)
        with engine.connect() as second:
            try:
                second.execute("BEGIN", prepare=False)
            except engine._psycopg.Error:
                return "statement"  # which refuses transactions
            theirs = _pid(second)
            if theirs == mine or _pid(first) != mine:
                return "transaction"
            second.execute("ROLLBACK", prepare=False)
    return "none" if direct else "session"


def pooler(mode: Mode, *, declared: bool) -> Note:
    """Judge it by what the URL says."""
    if mode == "statement":
        return bad(
            "pooler",
            "What stands between refuses transactions: it pools by statement.",
            "Set its pool_mode to transaction, and add pooler=transaction to the URL's options.",
        )
    if mode == "transaction":
        if declared:
            return well("pooler", "One that pools by transaction, as the URL says; workers poll.")
        return bad(
            "pooler",
            "One that pools by transaction stands between: it lent this session to another client.",
            "Add pooler=transaction to the URL's options.",
        )
    if mode == "session":
        return note(
            "pooler",
            f"One stands between. In {LOOKS} looks it lent this session to nobody, as if by session.",
            "If it pools by transaction after all: pooler=transaction in the URL's options."
            if not declared
            else "If it pools by session, leave pooler=transaction away: workers then hear of jobs at once.",
        )
    if declared:
        return note(
            "pooler",
            "The URL says pooler=transaction, but none stands between.",
            "Without it, workers hear of new jobs at once (LISTEN) and statements are prepared.",
        )
    return well("pooler", "None between; statements are prepared, and workers listen.")


def skew(connection: Any) -> tuple[int, int]:
    """How far the server's clock is ahead, and how sure that is, in microseconds."""
    before = time.time_ns() // 1000
    [(now_us,)] = connection.execute(NOW, prepare=False).fetchall()
    after = time.time_ns() // 1000
    return now_us - (before + after) // 2, (after - before) // 2


def clock(skew_us: int, give_us: int) -> Note:
    """Leases go by the server's clock, so a skew harms nothing but the times that people compare."""
    if give_us > SKEW_US:
        return unknown("clock", f"The answer took {span(2 * give_us)}, too long to compare clocks.")
    if abs(skew_us) - give_us > SKEW_US:
        return note(
            "clock",
            f"This host's clock is {span(skew_us)} {'behind' if skew_us > 0 else 'ahead of'} the server's.",
            "Leases go by the server's; job ids made here sort wrongly. Mend NTP.",
        )
    return well("clock", f"This host's and the server's agree within {span(abs(skew_us) + give_us)}.")


def ending(engine: Any, connection: Any, mode: Mode) -> Iterator[Note]:
    """Try it, on a session that was opened for that alone."""
    if mode != "none":
        yield skipped("terminate", "behind a pooler a session may be another client's by now.", DIRECT)
        return
    with contextlib.closing(engine.connect()) as victim:
        pid = _pid(victim)
        try:
            connection.execute("SELECT pg_catalog.pg_terminate_backend($1::integer)", [pid])
        except engine._psycopg.errors.InsufficientPrivilege as error:
            yield bad(
                "terminate",
                f"This role may not end its own sessions: {' '.join(str(error).split())}",
                "GRANT EXECUTE ON FUNCTION pg_terminate_backend TO this role.",
            )
            return
        until = time.monotonic() + ENDED_S
        while connection.execute(
            "SELECT 1 FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = $1", [pid]
        ).fetchall():
            if time.monotonic() > until:
                yield unknown("terminate", f"A session that was told to end is there after {ENDED_S:.0f} s.")
                return
            time.sleep(0.02)
    yield well("terminate", "This role can end its own sessions.")


def _pid(connection: Any) -> int:
    [(pid,)] = connection.execute(PID, prepare=False).fetchall()
    return int(pid)
