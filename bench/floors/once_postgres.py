"""The floor of exactly_once on PostgreSQL: BEGIN, ledger, a user's insert, completion, COMMIT; some at once.

dutiful's own statements, prepared, on a connection per thread; jobs are claimed a hundred at a time by one
of them. No framework: no decoding, no dispatch, no endings.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg

from bench.floors.rows import APP, HORIZON, ID, READY_SEQ, TASK
from bench.floors.timing import timed
from bench.server_side import server_pid
from bench.subject import Drained
from dutiful.sql.render import render

if TYPE_CHECKING:
    from bench.floors.postgres import Floor

TOKEN, RUN_NO = 5, 6
INSERT = b"INSERT INTO bench_work (n) VALUES ($1)"


def prepare(url: str) -> None:
    """The user's table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_work (n bigint)")


def drain(floor: Floor, jobs: int, connections: int) -> Drained:
    """A thread for each connection, one job and one commit at a time each."""
    waiting: deque[tuple[Any, ...]] = deque()
    lock = threading.Lock()
    left = [jobs]

    def take() -> tuple[Any, ...] | None:
        with lock:
            if not waiting and left[0]:
                found = floor._run("claim_jobs", floor.stand.claim(floor.mark))
                claimed = [row for row in found if row[ID] is not None]
                assert claimed, f"{left[0]} jobs cannot be claimed"
                floor.mark = max(floor.mark, min(floor.horizon, max(row[READY_SEQ] for row in claimed)))
                floor.horizon = found[0][HORIZON]
                waiting.extend(claimed)
                left[0] -= len(claimed)
            return waiting.popleft() if waiting else None

    def work() -> None:
        with psycopg.connect(
            floor.place.url, prepare_threshold=0, cursor_factory=psycopg.RawCursor
        ) as connection:
            while (row := take()) is not None:
                duty = {"app": APP, "task": TASK, "key": row[ID], "epoch": 1}
                duty |= {"id": row[ID], "token": row[TOKEN]}
                _run(connection, "begin_work", duty | {"run_no": row[RUN_NO]})
                connection.execute(INSERT, [1], binary=True)
                assert _run(connection, "finish_work", duty | {"result": None})
                connection.commit()

    server = server_pid(floor.place.url)
    threads = [threading.Thread(target=work) for _ in range(connections)]
    with timed(jobs, [] if server is None else [server]) as drained:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return drained()


def _run(connection: Any, name: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    text, names = render("postgres", name, "dollar").parts[0]
    cursor = connection.execute(text.encode(), [params[each] for each in names], binary=True)
    return cursor.fetchall()  # type: ignore[no-any-return]
