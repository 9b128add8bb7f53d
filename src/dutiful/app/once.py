"""``dutiful.once``: a key is used up in the caller's own transaction, so what it stands for is done once.

For any code and any job system; it needs a database with a ledger (``dutiful migrate --ledger URL``) and
no App. The key is committed, or rolled back, together with what the block wrote.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal

from ..engines.blockers import whose_key
from ..engines.bound_block import AlchemyBlock, AsyncBlock, Block, async_block_on, block_on
from ..model import errors
from ..model.canon import canonical, digest
from ..model.keys import checked_key
from ..model.payload import decode_result, encode_result
from ..model.wire import FAILURES, encode, unwritable
from ..operations import turns
from ..operations.turns import Taken

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def once(connection: object, key: str, *, scope: str = "", request: object = None) -> Once:
    """A block that is done once under ``key``: ``with dutiful.once(conn, "charge:42") as turn:``.

    ``async with`` on an async connection. Any connection or session of sqlite3, apsw, psycopg, SQLAlchemy
    or Django, with a transaction open, which is never committed here. The first caller has
    ``turn.first``, does the work on the same connection, and may set ``turn.result``; later callers,
    after its commit, read that. Callers at the same time wait for it: on PostgreSQL for the session's
    ``lock_timeout``, or 5 seconds if there is none; on SQLite for the connection's busy timeout.

    ``scope`` keeps the keys of several uses apart. ``request`` is what is asked for, plain data: the same
    key with another one raises RequestChanged. If the block of the first caller raises, all that it wrote
    is taken back to a savepoint with the key, which is not used up then, even by who commits afterwards.

    Raises NotInTransaction, UnsupportedConnection, LedgerMissing, StoreBusy, RequestChanged, InvalidOption
    (a key or scope that cannot be stored); at the end TurnBroken, PayloadTooLarge, RunError (a result that
    is no JSON). A serialization failure or deadlock of PostgreSQL's comes as the driver's own error.
    """
    checked_key(key, "key")
    if scope:
        checked_key(scope, "scope")
    return Once(connection, key, scope, request_hash(request))


def request_hash(request: object) -> str | None:
    """A hash of plain data, the same for equal data in every release; raises InvalidOption for other."""
    if request is None:
        return None
    try:
        encode(request)  # which knows what is plain data
        return digest(canonical(request))
    except FAILURES as error:
        raise errors.InvalidOption(
            f"request= {unwritable(error)}.",
            hint="Give plain data: text, numbers, dates, lists and dicts of them.",
        ) from None


class Turn:
    """What the block is given."""

    __slots__ = ("_open", "_result", "at", "first", "key", "scope")

    def __init__(self, key: str, scope: str, taken: Taken) -> None:
        self.key = key
        self.scope = scope
        self.first = taken.first
        """Whether the work is this caller's to do."""
        self.at: datetime = _EPOCH + timedelta(microseconds=taken.at_us)
        """When the key was used up (by the first caller), by the database's clock."""
        self._result: Any = None if taken.result is None else decode_result(taken.result)
        self._open = taken.first

    @property
    def result(self) -> Any:
        """What the first caller left here, as JSON gives it back; None if it left nothing."""
        return self._result

    @result.setter
    def result(self, value: Any) -> None:
        if not self.first:
            raise errors.TurnOver(f"The key {self.key!r} was used before: its result stands.")
        if not self._open:
            raise errors.TurnOver("The block has ended, and its result with it.")
        self._result = value

    def __repr__(self) -> str:
        return (
            f"<Turn {self.key!r}, {'first' if self.first else 'later'}, since {self.at:%Y-%m-%d %H:%M:%S}Z>"
        )


class Once:
    """The block's beginning and end, for ``with`` and ``async with``; used once."""

    def __init__(self, connection: object, key: str, scope: str, request: str | None) -> None:
        self._connection = connection
        self._names = (scope, key)
        self._request = request
        self._block: Block | None = None
        self._ablock: AsyncBlock | AlchemyBlock | None = None
        self._turn: Turn | None = None

    def __enter__(self) -> Turn:
        block = block_on(self._connection)
        try:
            taken = block.open(turns.take(*self._names, self._request), _is_first)
        except errors.StoreBusy as error:
            raise self._busy(error, block.name) from error
        if taken.first:
            self._block = block
        return self._begun(taken)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        block, turn = self._block, self._turn
        assert turn is not None
        turn._open = False
        if block is None:
            return False
        if error is None:
            try:
                last = turns.settle(*self._names, self._result_of(turn))
            except BaseException as refusal:
                block.undo(refusal)
                raise
            block.keep(last)
        else:
            block.undo(error)
        return False

    async def __aenter__(self) -> Turn:
        block = async_block_on(self._connection)
        try:
            taken = await block.open(turns.take(*self._names, self._request), _is_first)
        except errors.StoreBusy as error:
            raise self._busy(error, block.name) from error
        if taken.first:
            self._ablock = block
        return self._begun(taken)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        block, turn = self._ablock, self._turn
        assert turn is not None
        turn._open = False
        if block is None:
            return False
        if error is None:
            try:
                last = turns.settle(*self._names, self._result_of(turn))
            except BaseException as refusal:
                await block.undo(refusal)
                raise
            await block.keep(last)
        else:
            await block.undo(error)
        return False

    def _begun(self, taken: Taken) -> Turn:
        scope, key = self._names
        self._turn = Turn(key, scope, taken)
        return self._turn

    @staticmethod
    def _result_of(turn: Turn) -> bytes | None:
        return None if turn.result is None else encode_result(turn.result)

    def _busy(self, error: errors.StoreBusy, engine: str) -> errors.StoreBusy:
        """Say whom it waited for."""
        if engine == "sqlite":
            return error
        held = whose_key(error, self._connection)
        return errors.StoreBusy(
            f"Another transaction has just used the key {self._names[1]!r}, and did not end in time."
            + (f" {held}" if held else ""),
            hint="Try again later, or wait longer: SET LOCAL lock_timeout = '60s'. Who it is, says"
            " pg_stat_activity (xact_start).",
        )


def _is_first(taken: Taken) -> bool:
    return taken.first
