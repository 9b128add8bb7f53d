"""Many processes use one key in the same moment: ``once_crowd.py URL NUMBER``; a line of JSON for each."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from dutiful.app.once import once
from tests.contract import lenders
from tests.contract.lenders import Lender
from tests.contract.turn_callers import place


def main(url: str, number: int) -> int:
    if url.startswith("postgres"):  # once, and not by each child
        import psycopg.types.numeric  # noqa: F401

        import dutiful.engines.bound_postgres  # noqa: F401
    reader, writer = os.pipe()
    children = [pid for index in range(number) if (pid := _child(url, index, reader, writer))]
    os.close(writer)  # they all see the end of the pipe at once
    ends = [os.waitpid(pid, 0)[1] for pid in children]
    return 0 if ends == [0] * number else 1


def patient(url: str) -> Lender:
    """A connection that waits as long as a crowd of 50 may need."""
    at = place(url)
    if url.endswith("apsw"):
        lender = lenders.apsw_manual(at)
        lender.lent.set_busy_timeout(60_000)
        return lender
    if url.startswith("sqlite"):
        return lenders.standard(at, timeout=60, check_same_thread=False)
    return lenders.psycopg_plain(at)


def take(lender: Lender, mine: Any) -> tuple[bool, Any]:
    """One turn in a transaction, with ``mine`` as its result if it is the first."""
    lender.begin()
    with once(lender.lent, "k") as turn:
        if turn.first:
            lender.execute("INSERT INTO orders VALUES (7)")
            turn.result = mine
    lender.commit()
    return turn.first, turn.result


def _child(url: str, index: int, reader: int, writer: int) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.close(writer)
        lender = patient(url)
        os.read(reader, 1)
        os.write(1, json.dumps(take(lender, index)).encode() + b"\n")
        lender.close()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
