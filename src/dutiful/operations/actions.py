"""A person's action: a verb's operation, with who did it, at most once by its id, and what came of it.

The verb's own steps are carried out as they are; on their way, what they write into the audit is completed
with how its actor came here. All of it is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ..model.ops_errors import ActionReused, Changed
from ..model.spans import span
from .inspect import JobView, find
from .plan import Call, Operation, Rows, Step, Steps, Together, operation

T = TypeVar("T")

KEEP_US = 30 * 86_400_000_000
"""How long the ids of actions are remembered."""


class Action(Struct, frozen=True):
    """Who acts, from where. ``id`` is one-time: the second time nothing is done ("" : there is none)."""

    actor: str
    how: str = ""
    address: str = ""
    id: str = ""


class Outcome(Struct, Generic[T], frozen=True):
    """What came of an action. ``replayed``: it was done before, and ``said`` is what was said of it then."""

    said: str
    value: T | None = None
    replayed: bool = False
    at_us: int | None = None


class Seen(Struct, frozen=True):
    """How a job was when the person looked at it: what is left out does not matter."""

    state: str | None = None
    run_no: int | None = None
    ended_at_us: int | None = None

    @property
    def rev(self) -> str:
        """The same as one text, for a form."""
        return f"{self.state or ''}.{'' if self.run_no is None else self.run_no}.{self.ended_at_us or ''}"

    @classmethod
    def of(cls, job: JobView) -> Seen:
        """As it is now."""
        return cls(job.state, job.run_no, job.ended_at_us)

    @classmethod
    def parse(cls, rev: str) -> Seen:
        """From :attr:`rev`; raises ValueError."""
        state, run_no, ended_at = rev.split(".")
        return cls(state or None, int(run_no) if run_no else None, int(ended_at) if ended_at else None)

    def fits(self, job: JobView) -> bool:
        """Whether the job is still so."""
        return (
            self.state in (None, job.state)
            and self.run_no in (None, job.run_no)
            and self.ended_at_us in (None, job.ended_at_us)
        )


@operation
def act(
    app: str, verb: str, inner: Operation[T], action: Action, say: Callable[[T], str]
) -> Steps[Outcome[T]]:
    """The verb's operation as this action; ``say`` puts its result into the words that are stored.

    A second time with the same id it does nothing, and returns what was said the first time. Raises
    ActionReused where the id was another's or for another verb, and what the verb raises: then nothing was
    done, and the id is free.
    """
    if action.id:
        taken = {"id": action.id, "app": app, "actor": action.actor, "verb": verb}
        if not (yield Call("take_action", taken)):
            return (yield from _replayed(app, verb, action))
    value = yield from _signed(inner, action)
    said = say(value)
    if action.id:
        yield Call("end_action", {"id": action.id, "outcome": said})
    return Outcome(said, value)


@operation
def forget() -> Steps[None]:
    """Forget ids of actions that are older than ``KEEP_US``."""
    yield Call("forget_actions", {"keep": KEEP_US}, alone=True)


def _replayed(app: str, verb: str, action: Action) -> Steps[Outcome[T]]:
    rows = yield Call("find_action", {"id": action.id})
    known = rows[0][:3] if rows else ()
    if known != (app, action.actor, verb):
        raise ActionReused(f"The action id {action.id} was used before, by another or for something else.")
    return Outcome(rows[0][4], None, True, rows[0][3])


def _signed(inner: Operation[T], action: Action) -> Steps[T]:
    """The steps of ``inner``; what they write into the audit says how its actor came here."""
    signature = {"how": action.how or None, "address": action.address or None, "action_id": action.id or None}
    steps = inner.begin()
    rows: Rows | None = None
    while True:
        try:
            step: Step | Together = next(steps) if rows is None else steps.send(rows)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(step, Call):
            if step.name == "add_audit":
                kept = {name: step.params.get(name) or said for name, said in signature.items()}
                step = replace(step, params={**step.params, **kept})
            if step.alone and action.id:
                step = replace(step, alone=False)
        rows = yield step


@operation
def guarded(app: str, verb: str, job_id: str, seen: Seen | None, inner: Operation[T]) -> Steps[T]:
    """The operation on a job that is still as it was seen; else raises Changed, which says how it is now."""
    job = yield from find(app, job_id)
    if seen is not None and not seen.fits(job):
        raise Changed(verb, f"job {job.id}", how_it_is(job))
    return (yield from inner.begin())


def how_it_is(job: JobView) -> str:
    """A job's state in words, with what a person who just acted wants to know of it."""
    if job.state == "running":
        for_us = 0 if job.claimed_at_us is None else max(0, job.now_us - job.claimed_at_us)
        return f"running on worker {job.worker} since {span(for_us)}"
    state = f"{job.state}({job.outcome})" if job.outcome else job.state
    return f"{state} after run {job.run_no}" if job.run_no else state
