"""Marks: where a worker's claims begin in each lane, so that they never walk dead index entries.

Under a snapshot that somebody holds open, vacuum removes nothing, and a claim from the beginning
would step over every job that was ever done. A mark remembers how far its lane is known to be empty.
The rules, each found by a prototype that broke without it:

(b) one mark per lane; (c) a mark moves only to rows whose number is at most the sequence's value read
by an *earlier* statement (a row looked at again after a lock may carry a newer one, and a mark set to
that would jump over all between); (d) lanes that came back short are claimed again, in rounds that
begin at most every 100 ms, from the sequence's value of 5 s ago, so that an enqueue whose transaction
lasted less is not missed, and an empty one moves its mark there; (f) a sequence lower than last seen
(a restore, a failover) sets all marks to 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from .jobs import Lane, Lease

BEHIND_S = 5.0
AGAIN_S = 0.1
AGAIN_SHARE = 10
"""Second looks take at most one part in so many of the time, beside what claims take anyway."""
SMOOTH = 4
"""A measured time counts for one part in so many: on a busy machine one slow claim says little."""


class Marks:
    """The marks of one worker; instants are seconds of any clock that only goes forward."""

    def __init__(self, start: Mapping[int, int] | None = None) -> None:
        self._marks: dict[int, int] = dict(start or {})
        self._first = dict(self._marks)
        self._short: set[int] = set()
        self._seen: set[int] = set()
        self._round_at = 0.0
        self._round_s = 0.0
        self._extra_s = 0.0
        self._usual_s = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        self._horizon = 0
        self._looked: frozenset[int] = frozenset()

    def lanes(self, ids: Iterable[int], now: float) -> list[Lane]:
        """Where to claim now, in the order given."""
        old = self._old(now)
        self._next_round(now)
        asked = []
        looked = set()
        for lane in ids:
            mark = self._marks.get(lane, 0)
            if lane in self._short and lane not in self._seen:
                mark = min(mark, max(old, self._first.get(lane, 0)))
                looked.add(lane)
            asked.append(Lane(lane, mark))
        self._looked = frozenset(looked)
        return asked

    def claimed(
        self,
        asked: Sequence[Lane],
        leases: Iterable[Lease],
        limit: int,
        horizon: int,
        now: float,
        took_s: float,
    ) -> None:
        """Learn from a claim of ``limit`` that was begun ``took_s`` ago and is answered ``now``."""
        if horizon < self._horizon:
            self._marks.clear()
            self._first.clear()
            self._samples.clear()
            self._short.clear()
            self._horizon = horizon
            return
        earlier, self._horizon = self._horizon, horizon
        best: dict[int, int] = {}
        last: dict[int, int] = {}
        count = 0
        for lease in leases:
            count += 1
            last[lease.lane] = max(last.get(lease.lane, 0), lease.ready_seq)
            if lease.ready_seq <= earlier and lease.ready_seq > best.get(lease.lane, 0):
                best[lease.lane] = lease.ready_seq
            best.setdefault(lease.lane, 0)
        full_from = len(asked)
        if count >= limit:  # the last lane that gave something may have more, those behind were not asked
            full_from = max(at for at, lane in enumerate(asked) if lane.id in best)
        self._measure(took_s)
        old = self._old(now)
        for at, lane in enumerate(asked):
            mark = self._marks.get(lane.id, 0)
            mark = max(mark, best.get(lane.id, 0))
            if at < full_from:
                self._short.add(lane.id)
                if lane.id in self._looked:
                    self._seen.add(lane.id)
                if lane.id not in best:
                    mark = max(mark, old)
            elif at == full_from and last[lane.id] > self._marks.get(lane.id, 0):
                self._short.discard(lane.id)  # else a second look has not yet come as far as the mark
            self._marks[lane.id] = mark
        if not self._samples or now - self._samples[-1][0] >= AGAIN_S:
            self._samples.append((now, horizon))

    def _next_round(self, now: float) -> None:
        """If it is time: each lane that is short may be looked at once more. What it costs sets the pace."""
        round_s = self._round_s + (self._extra_s - self._round_s) / SMOOTH
        if now >= self._round_at + max(AGAIN_S, AGAIN_SHARE * round_s):
            self._round_at, self._round_s, self._extra_s = now, round_s, 0.0
            self._seen.clear()

    def _measure(self, took_s: float) -> None:
        """Learn what a claim takes usually, and what this round's second looks took beside that."""
        if self._looked:
            self._extra_s += took_s - self._usual_s
        if not self._looked or took_s < self._usual_s:
            self._usual_s += (took_s - self._usual_s) / SMOOTH

    def _old(self, now: float) -> int:
        """The sequence's value of ``BEHIND_S`` ago; 0 while that is not known."""
        while len(self._samples) > 1 and self._samples[1][0] <= now - BEHIND_S:
            self._samples.popleft()
        if self._samples and self._samples[0][0] <= now - BEHIND_S:
            return self._samples[0][1]
        return 0

    @property
    def values(self) -> dict[int, int]:
        """The marks as they are, for the beat."""
        return dict(self._marks)


def starting_marks(beats: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Where a new worker begins: the lowest mark that living workers have for a lane."""
    lowest: dict[int, int] = {}
    complete: set[int] | None = None
    for marks in beats:
        complete = set(marks) if complete is None else complete & set(marks)
        for lane, mark in marks.items():
            lowest[lane] = min(mark, lowest.get(lane, mark))
    return {lane: mark for lane, mark in lowest.items() if lane in (complete or ())}
