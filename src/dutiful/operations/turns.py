"""Turns of ``dutiful.once``: the first caller of a key uses it up, later ones read what came of it.

Carried out in a transaction of the caller's, and never committed here.
"""

from __future__ import annotations

from msgspec import Struct

from ..model.errors import RequestChanged, StoreBusy
from .plan import Call, Steps, operation

LOOKS_MAX = 3
"""How often a key is tried that vanishes between two statements (its row was just pruned)."""


class Taken(Struct, frozen=True):
    """Whose turn it is under a key, since when it is used up, and the first one's result as JSON."""

    first: bool
    at_us: int
    result: bytes | None = None


@operation
def take(scope: str, key: str, request: str | None) -> Steps[Taken]:
    """Use up the key, or find who did. Waits for a transaction that is just doing it.

    ``request`` is a hash. Raises RequestChanged if both callers gave one and they differ.
    """
    names = {"scope": scope, "key": key}
    for _ in range(LOOKS_MAX):
        rows = yield Call("take_turn", {**names, "request": request}, alone=True)
        if rows:
            return Taken(True, rows[0][0])
        rows = yield Call("find_turn", names)
        if rows:
            at, asked, result = rows[0]
            if request is not None and asked is not None and asked != request:
                raise RequestChanged(scope, key)
            return Taken(False, at, None if result is None else bytes(result))
    raise StoreBusy(f"The key {key!r} comes and goes.", hint="Is somebody deleting rows of the ledger?")


@operation
def settle(scope: str, key: str, result: bytes | None) -> Steps[bool]:
    """Keep the result of the first turn; False if its row is gone from the transaction."""
    rows = yield Call("settle_turn", {"scope": scope, "key": key, "result": result}, alone=True)
    return bool(rows)
