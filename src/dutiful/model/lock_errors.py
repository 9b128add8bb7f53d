"""The errors of locks, and of writes that came too late; the tree is in :mod:`.errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .error_root import DutifulError
from .run_errors import RunError, StateError

if TYPE_CHECKING:
    from .locks import Holder


class LockError(DutifulError):
    """Something about a lock by name."""

    code = "DE700"


class LockBusy(LockError):
    """The lock was not free in time. Nothing is held, and nobody waits any more. ``holders`` has it."""

    code = "DE701"
    hint = "Who has it: dutiful lock list"

    def __init__(self, name: str, holders: Sequence[Holder] = (), now_us: int = 0, waited: str = "") -> None:
        self.name, self.holders = name, tuple(holders)
        parts = [
            f"{one.who} (grant {one.grant_no}, for {max(0, now_us - one.granted_at_us) / 1e6:.1f} s)"
            for one in holders[:3]
        ]
        more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
        by = f"held by {', '.join(parts)}{more}" if holders else "others are before us"
        super().__init__(f"Lock {name!r} is not free{waited}: {by}.")


class LockLost(LockError):
    """The lock is not ours any more, or may not be in a moment: its lease was not renewed, or it was broken.

    What is still under way goes on beside another holder, unless it compares ``grant_no``.
    """

    code = "DE702"
    hint = (
        "If this is frequent, raise lease= above the longest pause; write with write_if_newer and grant_no."
    )

    def __init__(self, name: str, grant_no: int, why: str) -> None:
        self.name, self.grant_no = name, grant_no
        super().__init__(f"Lock {name!r}, grant {grant_no}: {why}.")


class SlotsDiffer(LockError):
    """The lock is in use with another number of slots. Nothing was asked for."""

    code = "DE703"
    hint = (
        "Declare one number everywhere; another one takes effect when nobody holds the lock or waits for it."
    )

    def __init__(self, name: str, asked: int, found: int) -> None:
        self.name, self.asked, self.found = name, asked, found
        super().__init__(f"Lock {name!r} is in use with slots={found}, and was asked for with slots={asked}.")


class LockNotHeld(StateError):
    """Nobody holds the lock, or not with that grant number. Nothing changed."""

    code = "DE580"
    hint = "What is held: dutiful lock list"


class Conflict(RunError):
    """The row is not as it was read: somebody else wrote it meanwhile, or it is gone. Nothing was written.

    In a task it is tried again soon, uncharged, ten times for each charged try.
    """

    code = "DE480"
    hint = "Read the row again, and decide anew."
