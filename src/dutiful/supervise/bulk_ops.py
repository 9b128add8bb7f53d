"""People's verbs over many dead jobs: look what a retry would mean, begin, walk, steer, take back."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from ..model.errors import JobNotFound, NotAllowed
from ..operations import bulk, dead_sets, health
from ..operations.actions import Outcome
from ..operations.bulk import Bulk, Item, Verb, Wanted
from ..operations.dead_sets import BUCKETS, Bucket, Choice, Judged
from ..worker import bulks
from .desk import Desk

REASON_ABOVE: Final = 100
"""Above so many jobs a retry needs a reason; a discard always does."""
LOOKED_MAX: Final = 20_000
"""How many jobs a pre-flight looks at before it says that there are more."""
EXAMPLES_MAX: Final = 20
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass
class Preflight:
    """What a retry of all that fit would mean, by bucket; exact where it is ``complete``."""

    wanted: Wanted
    counts: dict[Bucket, int] = field(default_factory=lambda: dict.fromkeys(BUCKETS, 0))
    whys: dict[Bucket, dict[str, int]] = field(default_factory=lambda: {one: {} for one in BUCKETS})
    """How often each reason was given, with the ids in it left out."""
    examples: dict[Bucket, list[Judged]] = field(default_factory=lambda: {one: [] for one in BUCKETS})
    complete: bool = True

    @property
    def total(self) -> int:
        """How many fit."""
        return sum(self.counts.values())

    def add(self, job: Judged) -> None:
        """Count one."""
        self.counts[job.bucket] += 1
        why = _ID.sub("#", job.why).partition(" holds its key ")
        said = why[0] + why[1].rstrip()
        whys = self.whys[job.bucket]
        if said and (said in whys or len(whys) < EXAMPLES_MAX):
            whys[said] = whys.get(said, 0) + 1
        if len(self.examples[job.bucket]) < EXAMPLES_MAX:
            self.examples[job.bucket].append(job)


class BulkOps(Desk):
    """The verbs over many; each asks for the permission ``bulk`` beside its own.

    An operator who is held to some queues or tasks has to name one of each that the filter is held to.
    """

    def preflight(
        self, wanted: Wanted, *, limit: int | None = None, looked_max: int = LOOKED_MAX
    ) -> Preflight:
        """What a retry would mean for each of them; nothing is changed. Raises NotAllowed."""
        self._within("view", wanted)
        found = Preflight(wanted)
        for ids in self._pages(wanted):
            for job in self.look(dead_sets.look(self.name, ids)):
                if found.total == limit:
                    return found
                if found.total == looked_max:
                    found.complete = False
                    return found
                found.add(job)
        return found

    def count(self, wanted: Wanted, *, limit: int | None = None) -> int:
        """How many fit now, exactly. Raises NotAllowed."""
        self._within("view", wanted)
        found = sum(len(ids) for ids in self._pages(wanted, limit))
        return found if limit is None else min(found, limit)

    def first(self, wanted: Wanted) -> str:
        """The id of the latest death that fits; raises JobNotFound where none does."""
        self._within("view", wanted)
        for ids in self._pages(wanted, 1):
            return ids[0]
        raise JobNotFound(f"There are no dead jobs{wanted}.")

    def _pages(self, wanted: Wanted, limit: int | None = None) -> Iterator[list[str]]:
        """The ids of those that fit; of those that were named, also such as are not dead."""
        if wanted.ids is not None:
            for first in range(0, len(wanted.ids), bulk.BATCH):
                yield list(wanted.ids[first : first + bulk.BATCH])
            return
        bound_us = self.look(health.now()) - wanted.older_us
        after: tuple[int, str] | None = None
        seen = 0
        while page := self.look(bulk.page(self.name, wanted, bound_us=bound_us, after=after)):
            yield [one[0] for one in page]
            seen += len(page)
            if limit is not None and seen >= limit:
                return
            after = (page[-1][2], page[-1][0])

    def retry_all(
        self,
        wanted: Wanted,
        *,
        reason: str = "",
        choice: Choice = "leave",
        pace: int | None = None,
        start_at_us: int | None = None,
        limit: int | None = None,
        expected: int | None = None,
        action_id: str = "",
    ) -> Outcome[Bulk]:
        """Begin to bring back all that fit now; :meth:`walk` carries it out, or a worker does.

        Those that are done already are ended as duplicates; those that need a choice are left unless
        ``choice`` takes them; all that were left are listed with the reason. ``expected`` is how many the
        person saw: another number refuses it. Raises NotAllowed, ReadOnly, ReasonNeeded, BulkRefused.
        """
        return self._begin("retry", wanted, reason, choice, pace, start_at_us, limit, expected, action_id)

    def discard_all(
        self,
        wanted: Wanted,
        *,
        reason: str,
        limit: int | None = None,
        expected: int | None = None,
        action_id: str = "",
    ) -> Outcome[Bulk]:
        """Begin to give up all that fit now; :meth:`undo_all` takes it back. Raises as :meth:`retry_all`."""
        return self._begin("discard", wanted, reason, "leave", None, None, limit, expected, action_id)

    def undo_all(self, bulk_id: str, *, reason: str = "", action_id: str = "") -> Outcome[Bulk]:
        """Begin to take back what a bulk operation discarded. Raises BulkNotFound, BulkRefused."""
        self._writing("discard", Wanted())
        actor = self.actor
        done = bulk.undo(
            self.name, bulk_id, actor=actor.id, how=actor.how, address=actor.address, reason=reason
        )
        return self.act("bulk undo", done, begun_said, action_id)

    def bulk(self, bulk_id: str) -> Bulk:
        """One bulk operation; raises BulkNotFound."""
        self.demand("view", queue="*", task="*")
        return self.look(bulk.show(self.name, bulk_id))

    def bulks(self, *, before_us: int | None = None, limit: int = 50) -> list[Bulk]:
        """Bulk operations, the latest first."""
        self.demand("view", queue="*", task="*")
        return self.look(bulk.listed(self.name, before_us=before_us, limit=limit))

    def bulk_items(
        self, bulk_id: str, *, state: str | None = None, after: int = 0, limit: int = 500
    ) -> list[Item]:
        """What became of its jobs: those in ``state``, or else all that were not simply done."""
        self.demand("view", queue="*", task="*")
        return self.look(bulk.items(bulk_id, state=state, after=after, limit=limit))

    def steer(
        self,
        bulk_id: str,
        verb: Literal["pause", "resume", "abort"],
        *,
        reason: str = "",
        action_id: str = "",
    ) -> Outcome[Bulk]:
        """Pause, resume or abort one; what was done stays done. Raises BulkNotFound, BulkRefused."""
        self.writing("bulk", queue="*", task="*")
        done = bulk.steer(self.name, bulk_id, verb, actor=self.actor.id, reason=reason)
        return self.act(
            f"{verb} bulk", done, lambda one: f"bulk operation {one.id} is {one.state}", action_id
        )

    def walk(self, bulk_id: str, wait: Callable[[float], bool]) -> bool:
        """Carry one out here, until it is over or ``wait(seconds)`` returns true; returns whether it is over.

        Whoever else walks it keeps it: then nothing is done here, and False comes back at once.
        """
        return bulks.walk(self.engine, bulk_id, walker_name(), wait)

    def _begin(
        self,
        verb: Verb,
        wanted: Wanted,
        reason: str,
        choice: Choice,
        pace: int | None,
        start_at_us: int | None,
        limit: int | None,
        expected: int | None,
        action_id: str,
    ) -> Outcome[Bulk]:
        self._writing(verb, wanted)
        if verb == "discard":
            self.demand_reason("discard jobs", reason)
        elif not reason.strip():
            page = self.look(
                bulk.page(self.name, wanted, bound_us=self.look(health.now()), limit=REASON_ABOVE + 1)
            )
            if min(len(page), REASON_ABOVE + 1 if limit is None else limit) > REASON_ABOVE:
                self.demand_reason(f"retry more than {REASON_ABOVE} jobs", reason)
        actor = self.actor
        done = bulk.begin(
            self.name,
            verb,
            wanted,
            actor=actor.id,
            how=actor.how,
            address=actor.address,
            reason=reason,
            choice=choice,
            pace=pace,
            start_at_us=start_at_us,
            limit=limit,
            expected=expected,
        )
        return self.act(f"bulk {verb}", done, begun_said, action_id)

    def _writing(self, verb: str, wanted: Wanted) -> None:
        self.writing("bulk", queue=wanted.queue or "*", task=wanted.task or "*")
        self._within(verb, wanted)

    def _within(self, permission: str, wanted: Wanted) -> None:
        """The whole filter lies within what this operator may touch: jobs that are named are looked at."""
        if not self.actor.scoped or wanted.ids is None:
            self.demand(permission, queue=wanted.queue or "*", task=wanted.task or "*")
            return
        for job in self.look(dead_sets.look(self.name, list(wanted.ids))):
            if job.task and not self.actor.may(permission, queue=job.queue, task=job.task):
                raise NotAllowed(self.actor.id, permission, f"task {job.task} in queue {job.queue}")


def begun_said(begun: Bulk) -> str:
    """What is kept of a bulk operation's beginning: its id is the last word."""
    return f"bulk {begun.verb} of {begun.intended:,} jobs: {begun.id}"


def walker_name() -> str:
    """Names one walk of one process."""
    return f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
