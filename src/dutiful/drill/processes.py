"""Process mode: a run that is to be cut off is carried out in a child, which ends there by ``os._exit``.

No ``finally`` runs, no buffer is flushed, and the server finds the connection gone: the crash as it is in
earnest, with the locks and leftovers of it. What the world outside was told is written down by the child as
it is told, for the provider is not in that process.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from typing import Any

from ..model.jobs import Ending
from .boundaries import Crash, Event, Track, tracked, unwatched
from .provider import Provider
from .unseen import Seen

KILLED = 9


class Outside:
    """What has to outlive the child, in a file."""

    def __init__(self, provider: Provider, seen: Seen) -> None:
        self.provider, self.seen = provider, seen
        handle, self.path = tempfile.mkstemp(prefix="dutiful-drill-outside-")
        os.close(handle)

    def keep(self, done: tuple[Ending | None, BaseException | None, list[Event], int] | None = None) -> None:
        """Write it down, whole."""
        one = self.provider
        data = (
            (one.applied, one.calls, one.clashes, one.keyed),
            (self.seen.sockets, self.seen.files, self.seen.before),
            done,
        )
        with unwatched():
            with open(f"{self.path}.new", "wb") as file:
                pickle.dump(data, file)
            os.replace(f"{self.path}.new", self.path)

    def take(self) -> Any:
        """In the parent: know what the child did; how its run ended, if it did."""
        with open(self.path, "rb") as file:
            data = pickle.load(file)
        os.remove(self.path)
        one = self.provider
        one.applied, one.calls, one.clashes, one.keyed = data[0]
        self.seen.sockets, self.seen.files, self.seen.before = data[1]
        return data[2]


def in_child(
    carry: Any, track: Track, provider: Provider, seen: Seen
) -> tuple[Ending | None, BaseException | None]:
    """Carry out a run in a child; how it ended, or (None, None) and a crashed track."""
    outside = Outside(provider, seen)
    outside.keep()
    child = os.fork()
    if child == 0:
        _be_the_child(carry, track, outside)
    _, status = os.waitpid(child, 0)
    done = outside.take()
    if os.waitstatus_to_exitcode(status) == KILLED:
        track.crashed = True
        track.struck = Event(track.plan.at if track.plan else 0, "return", "", None)
        return None, None
    if done is None:
        raise RuntimeError(f"the child of the drill ended with {os.waitstatus_to_exitcode(status)}")
    ending, error, track.events, track.commits = done
    return ending, error


def _be_the_child(carry: Any, track: Track, outside: Outside) -> None:
    ending: Ending | None = None
    failed: BaseException | None = None
    code = 1
    try:
        outside.provider.changed = outside.keep
        track.kill = lambda: _end(outside)
        try:
            with tracked(track):
                ending = carry()
                track.at("return", "return")
        except Crash:
            pass
        except BaseException as error:
            failed = RuntimeError(f"{type(error).__name__}: {error}")
        outside.keep((ending, failed, track.events, track.commits))
        code = 0
    finally:
        os._exit(code)


def _end(outside: Outside) -> None:
    outside.keep()
    os._exit(KILLED)
