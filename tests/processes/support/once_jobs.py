"""One job for Celery, RQ and Dramatiq alike: charge an order; its receipt is another one in each run.

``ONCE_STORE`` is the database, ``ONCE_LOG`` a file that gets a line of JSON for each call that returned.
With ``ONCE_PLANTED`` the job is as it would be without dutiful, for the tests to see that they would notice.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import Any

import dutiful


def connect() -> Any:
    """As a user's code does."""
    url = os.environ["ONCE_STORE"]
    if url.startswith("sqlite"):
        import sqlite3

        return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
    import psycopg

    return psycopg.connect(url)


def charge(conn: Any, order_id: int, cents: int) -> dict[str, Any]:
    """Charge it, and give a receipt."""
    conn.execute(f"INSERT INTO charges VALUES ({int(order_id)}, {int(cents)})")
    return {"order": order_id, "receipt": secrets.token_hex(8)}


if os.environ.get("ONCE_PLANTED"):

    def charge_once(order_id: int, cents: int = 100) -> dict[str, Any]:
        """The planted bug: nothing keeps it from being done again."""
        with contextlib.closing(connect()) as conn, conn:
            return charge(conn, order_id, cents)

else:

    @dutiful.once_per("charge:{order_id}", connect=connect, into="conn")
    def charge_once(order_id: int, cents: int = 100, *, conn: Any) -> dict[str, Any]:
        """As users write it."""
        return charge(conn, order_id, cents)


def note(result: object) -> None:
    """A line for a call that returned; the transaction is committed, the message not acknowledged yet."""
    line = json.dumps({"pid": os.getpid(), "result": result}).encode() + b"\n"
    log = os.open(os.environ["ONCE_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)
