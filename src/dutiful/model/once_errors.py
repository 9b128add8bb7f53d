"""The errors of ``dutiful.once``; the whole tree is in :mod:`.errors`."""

from __future__ import annotations

from .error_root import DutifulError


class OnceError(DutifulError):
    """Something about a key of ``dutiful.once`` or its block."""

    code = "DE600"


class RequestChanged(OnceError):
    """The key was used before, for another request: one of the two calls means something else."""

    code = "DE601"
    hint = "Put what differs into the key, or leave request= away if the first one stands for both."

    def __init__(self, scope: str, key: str) -> None:
        self.scope, self.key = scope, key
        where = f" in scope {scope!r}" if scope else ""
        super().__init__(f"The key {key!r}{where} was used before, with another request.")


class TurnBroken(OnceError):
    """The block ended the transaction, or rolled back to before its beginning.

    What it committed stays, and if the key was part of that, it is used up without a result; what it
    rolled back is gone, the key included.
    """

    code = "DE602"
    hint = "Leave COMMIT and ROLLBACK to the code around the block; a savepoint inside it is fine."


class TurnOver(OnceError):
    """The result can be set by the first caller of a key alone, and only within the block."""

    code = "DE603"
