"""A bulk operation under way, in front of a person: a bar, and Ctrl-C that leaves it to others."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..operations.bulk_values import Bulk
from ..supervise.ops import Ops
from .bars import bar
from .session import Session

LOOK_S = 0.5


class _Told:
    """Whether a person pressed Ctrl-C."""

    def __init__(self) -> None:
        self.stop = False

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until then."""
        until = time.monotonic() + seconds
        while not self.stop and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return self.stop


def carry_out(session: Session, ops: Ops, bulk: Bulk, title: str) -> tuple[bool, Bulk]:
    """Walk it here until it is over; Ctrl-C detaches. Returns whether it is over, and how it stands."""
    with _interruptible() as told, _bar(session, bulk, title) as show:

        def wait(seconds: float) -> bool:
            show(ops.bulk(bulk.id))
            return told.wait(seconds)

        over = ops.walk(bulk.id, wait)
        if not over and not told.stop:
            over = _follow(ops, bulk.id, told, show)
    found = ops.bulk(bulk.id)
    if not over:
        _detached(session, bulk.id)
    return found.state in ("done", "aborted") or over, found


def watch(session: Session, ops: Ops, bulk: Bulk) -> tuple[bool, Bulk]:
    """Look on until it is over; Ctrl-C only stops looking."""
    with _interruptible() as told, _bar(session, bulk, bulk.verb.capitalize()) as show:
        over = _follow(ops, bulk.id, told, show)
    if not over:
        _detached(session, bulk.id)
    return over, ops.bulk(bulk.id)


def _follow(ops: Ops, bulk_id: str, told: _Told, show: Callable[[Bulk], None]) -> bool:
    """Another walks it: look on."""
    while not told.stop:
        found = ops.bulk(bulk_id)
        show(found)
        if found.state != "running":
            return found.state in ("done", "aborted")
        free = found.walker is None or (found.walked_until_us or 0) < found.now_us
        if free and ops.walk(bulk_id, told.wait):
            return True
        time.sleep(LOOK_S)
    return False


def _detached(session: Session, bulk_id: str) -> None:
    session.printer.say(f"Detached: the operation goes on as bulk {bulk_id}, by any worker.")
    session.printer.say(f"Watch: dutiful bulk watch {bulk_id}")
    session.printer.say(f"Stop: dutiful bulk abort {bulk_id}")


@contextmanager
def _interruptible() -> Iterator[_Told]:
    """The first Ctrl-C lets the batch at hand finish; a second one is an interrupt like any other."""
    told = _Told()

    def stop(number: int, frame: FrameType | None) -> None:
        if told.stop:
            raise KeyboardInterrupt
        told.stop = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield told
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(session: Session, bulk: Bulk, title: str) -> Iterator[Callable[[Bulk], None]]:
    """How far it is, where somebody looks; not for one job."""
    if bulk.intended <= 1:
        yield lambda _: None
        return
    with bar(session, title, bulk.intended) as tell:

        def show(now: Bulk) -> None:
            left = f"skipped {now.skipped + now.failed:,}" if now.skipped or now.failed else ""
            tell(now.intended - now.left, f"{now.per_s:,.0f}/s {left}")

        yield show
