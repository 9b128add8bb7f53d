"""A SQLAlchemy session in a run's transaction: its commits end savepoints, and keep nothing by themselves.

SQLAlchemy is given the driver's connection through an engine of one connection. What it takes for the
outermost transaction is a savepoint of ours; the real one is begun and ended outside of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.errors import UnsupportedConnection

if TYPE_CHECKING:
    from .work import AsyncWorkTransaction, WorkTransaction

_ENGINES: dict[str, str] = {"postgres": "postgresql+psycopg://", "sqlite": "sqlite://"}


class _Lent:
    """The driver's connection, whose commit, rollback and close are not SQLAlchemy's to call."""

    def __init__(self, raw: Any) -> None:
        self.__dict__["_raw"] = raw

    def commit(self) -> None:
        return None

    def rollback(self) -> None:
        return None

    def close(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._raw, name, value)


def session(work: WorkTransaction) -> Any:
    """A ``Session`` whose ``commit()`` releases a savepoint. Raises UnsupportedConnection for apsw."""
    _refuse_apsw(work.raw)
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import StaticPool

    lent = _Lent(work.raw)
    engine = create_engine(
        _ENGINES[work.engine_name], creator=lambda: lent, poolclass=StaticPool, pool_reset_on_return=None
    )
    connection = engine.connect()
    connection.begin()
    return Session(bind=connection, join_transaction_mode="create_savepoint")


def async_session(work: AsyncWorkTransaction) -> Any:
    """An ``AsyncSession``, see :func:`session`."""
    raise UnsupportedConnection("AsyncSession is not there yet.")


def _refuse_apsw(raw: Any) -> None:
    if type(raw).__module__.partition(".")[0] == "apsw":
        raise UnsupportedConnection(
            "SQLAlchemy has no dialect for apsw, so there is no session in this transaction.",
            hint="Use tx.execute(…) or tx.connection, or open the file by the standard library's sqlite3.",
        )
