"""The shim of SQLAlchemy's pools: a connection to an earlier scenario's copy is thrown away as it is taken.

Statements and commits go through the drivers, whose shims tell of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .boundaries import track


@contextmanager
def sqlalchemy_shim(current: Callable[[Any], bool]) -> Iterator[None]:
    """While it is on, pools give only connections for which ``current`` is true."""
    if "sqlalchemy" not in sys.modules:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.exc import InvalidatePoolError
    from sqlalchemy.pool import Pool

    def checkout(given: Any, record: Any, proxy: Any) -> None:
        raw = getattr(given, "driver_connection", given)
        if not current(raw):
            raise InvalidatePoolError()
        one = track()
        if one is not None and hasattr(raw, "pgconn"):
            from .shim_postgres import dropping

            dropping(one, raw)
        elif one is not None and hasattr(raw, "is_closed"):
            from .shim_asyncpg import dropping as dropping_async

            dropping_async(one, raw)
        elif one is not None:
            from .shim_sqlite import dropping as dropping_file

            dropping_file(one, raw)

    event.listen(Pool, "checkout", checkout)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", checkout)
