"""Who acts and on what: permission, read-only, one-time ids and the audit, for every verb of people's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ..app.app import App
from ..engines.contract import Engine
from ..model.errors import NotAllowed, ReadOnly, ReasonNeeded
from ..model.ids import make_id
from ..model.operators import NEEDS, Operator
from ..operations import actions, health, inspect
from ..operations.actions import Action, Outcome, Seen
from ..operations.inspect import JobView
from ..operations.plan import Operation
from ..worker import bulks

T = TypeVar("T")


class Store(Protocol):
    """An engine and the name of an app in it, where the app's code is not at hand."""

    @property
    def engine(self) -> Engine: ...

    @property
    def name(self) -> str: ...

    @property
    def app(self) -> App | None: ...


def action_id() -> str:
    """A one-time id for an action: put into a form, it makes the second sending of it do nothing."""
    return make_id()


class Desk:
    """Who sits here and what that one may do; the verbs are in the rooms that build on it."""

    def __init__(self, target: App | Store, actor: Operator, *, readonly: bool = False) -> None:
        self.app: App | None = target if isinstance(target, App) else target.app
        self.engine: Engine = target.engine
        self.name: str = target.name
        self.actor = actor
        self.readonly = readonly

    def may(self, permission: str, *, queue: str | None = None, task: str | None = None) -> bool:
        """Whether a button may be shown: what it does is checked again."""
        if self.readonly and permission not in ("view", "view_args", "reveal_secrets"):
            return False
        return self.actor.may(permission, queue=queue, task=task)

    def demand(self, permission: str, *, queue: str | None = None, task: str | None = None) -> None:
        """Raises NotAllowed."""
        if not self.actor.may(permission, queue=queue, task=task):
            what = " in ".join(part for part in (task and f"task {task}", queue and f"queue {queue}") if part)
            raise NotAllowed(self.actor.id, permission, what if self.actor.scoped else "")

    def writing(self, verb: str, *, queue: str | None = None, task: str | None = None) -> None:
        """Raises ReadOnly or NotAllowed unless this verb may be done here."""
        if self.readonly:
            raise ReadOnly(f"Cannot {verb}: this was opened read-only.")
        self.demand(NEEDS[verb], queue=queue, task=task)

    def now(self) -> int:
        """The clock that all instants in the store go by, in microseconds."""
        return self.look(health.now())

    def look(self, operation: Operation[T]) -> T:
        """Carry out an operation that only reads."""
        return self.engine.run(operation)

    def demand_reason(self, what: str, reason: str) -> None:
        """Raises ReasonNeeded where none is given."""
        if not reason.strip():
            raise ReasonNeeded(f"A reason is needed to {what}.")

    def job(self, job_id: str) -> JobView:
        """One job; raises JobNotFound, NotAllowed."""
        job = self.look(inspect.job(self.name, job_id))
        self.demand("view", queue=job.queue, task=job.task)
        return job

    def act(
        self, verb: str, operation: Operation[T], say: Callable[[T], str], action_id: str = ""
    ) -> Outcome[T]:
        """Carry it out as this operator's action, and let the audit's chain grow."""
        action = Action(self.actor.id, self.actor.how, self.actor.address, action_id)
        done = self.engine.run(actions.act(self.name, verb, operation, action, say))
        bulks.chain(self.engine)
        return done

    def on_job(
        self,
        verb: str,
        job_id: str,
        operation: Operation[JobView],
        seen: Seen | str | None,
        action_id: str,
        needs: str = "",
    ) -> Outcome[JobView]:
        """A verb on one job that is still as it was seen."""
        job = self.look(inspect.job(self.name, job_id))
        self.writing(needs or verb, queue=job.queue, task=job.task)
        known = Seen.parse(seen) if isinstance(seen, str) else seen
        guarded = actions.guarded(self.name, verb, job.id, known, operation)
        done = self.act(verb, guarded, job_said, action_id)
        if done.value is not None and done.value.state == "ready":
            self.engine.wake(done.value.queue)
        return done


def job_said(job: JobView) -> str:
    """What became of a job, in words that are kept."""
    state = f"{job.state} ({job.outcome})" if job.outcome else job.state
    return f"job {job.id} is {state}"
