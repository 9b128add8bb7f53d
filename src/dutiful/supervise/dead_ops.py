"""People's verbs over the dead beside retry and discard: seen, mine, and edit and retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..app.task import Task, Using
from ..model.errors import AckRefused, DutifulError, EditRefused, WrongArgument
from ..model.jobs import NewJob
from ..model.redaction import MASK, Redactor, secret_parameters
from ..operations import acks, edits, groups
from ..operations.acks import GROUP, Ack
from ..operations.actions import Outcome, Seen
from ..operations.dead_sets import Choice
from ..operations.groups import Group
from ..operations.inspect import JobView
from .bulk_ops import BulkOps


class DeadOps(BulkOps):
    """A thing is named by its key: ``group:`` and a fingerprint is a cause of death."""

    def group(self, fingerprint: str) -> Group:
        """The cause whose fingerprint begins so; raises AckRefused where none does, or several do."""
        self.demand("view", queue="*", task="*")
        fitting = [
            one for one in self.look(groups.groups(self.name)) if one.fingerprint.startswith(fingerprint)
        ]
        exact = [one for one in fitting if one.fingerprint == fingerprint] or fitting
        if len(exact) != 1:
            many = f"{len(exact)} causes begin with {fingerprint!r}."
            none = f"Nobody is dead of a cause that begins with {fingerprint!r}."
            raise AckRefused(many if exact else none, hint="dutiful dead groups")
        return exact[0]

    def acknowledge(
        self, thing: str, *, note: str, span_us: int = acks.SPAN_US, count: int = 0, action_id: str = ""
    ) -> Outcome[Ack]:
        """It is seen, for so long (a day). It lapses by time, when it has doubled, and in another release.

        Raises AckRefused.
        """
        self.writing("ack", queue="*", task=self._task_of(thing))
        done = acks.acknowledge(
            self.name, thing, actor=self.actor.id, note_text=note, span_us=span_us, count=count
        )
        return self.act("ack", done, lambda one: f"{one.thing} is seen", action_id)

    def withdraw(self, thing: str, *, reason: str = "", action_id: str = "") -> Outcome[None]:
        """It is unseen again. Raises AckRefused where nobody has seen it."""
        self.writing("ack", queue="*", task=self._task_of(thing))
        done = acks.withdraw(self.name, thing, actor=self.actor.id, reason=reason)
        return self.act("withdraw", done, lambda _: f"{thing} is unseen", action_id)

    def take(self, thing: str, *, owner: str | None = "", action_id: str = "") -> Outcome[Ack]:
        """It is this one's to see to ("": mine; None: nobody's)."""
        self.writing("take", queue="*", task=self._task_of(thing))
        whose = self.actor.id if owner == "" else owner
        done = acks.take(self.name, thing, actor=self.actor.id, owner=whose)
        return self.act("take", done, lambda one: f"{one.thing} is {one.owner or 'nobody'}'s", action_id)

    def edit(
        self,
        job_id: str,
        arguments: Mapping[str, Any],
        *,
        reason: str = "",
        choice: Choice = "leave",
        seen: Seen | str | None = None,
        action_id: str = "",
        redactor: Redactor | None = None,
    ) -> Outcome[JobView]:
        """Give a dead job these arguments, as JSON has them, and bring it back.

        Where a value is the mask that hides a secret, the stored one stays: so that a form need not have it.
        Raises EditRefused with the path of what does not fit, or where the key or the gates would be others.
        """
        job = self.job(job_id)
        self.writing("edit", queue=job.queue, task=job.task)
        if self.app is None:
            raise EditRefused(
                "Arguments are checked by the task's code, which is not at hand.",
                hint="Give --app MODULE:VAR instead of --store.",
            )
        task = self.app.find_task(job.task)
        data = msgspec.json.encode(_kept(dict(arguments), _stored(job), ""))
        new, old = _as_new(task, data), _as_old(task, job)
        if new.key != (old.key if old is not None else job.key):
            raise EditRefused(
                f"These arguments would make the key {new.key!r} of job {job.id} another duty.",
                hint="Enqueue that as a job of its own, and discard this one.",
            )
        if (old is None and new.gates) or (old is not None and new.gates != old.gates):
            raise EditRefused(
                f"Job {job.id} stands in another order, lock, rate or share than these arguments say.",
                hint="Enqueue that as a job of its own, and discard this one.",
            )
        shows = redactor or Redactor({task.name: secret_parameters(task.codec.parameters)})
        done = edits.edit(
            self.name,
            job.id,
            run_no=job.run_no,
            args=new.args,
            args_version=new.args_version,
            args_hash=new.args_hash or task.codec.args_hash(new.args),
            before=shows.args(task.name, job.args, indent=None).text[:2000],
            after=shows.args(task.name, new.args, indent=None).text[:2000],
            actor=self.actor.id,
            reason=reason,
            choice=choice,
        )
        return self.on_job("edit", job.id, done, seen, action_id)

    def _task_of(self, thing: str) -> str:
        """The task of a cause of death, for whoever is held to some tasks; "*" for other things."""
        if not self.actor.scoped or not thing.startswith(GROUP):
            return "*"
        found = self.look(groups.group(self.name, thing.removeprefix(GROUP)))
        return found.task if found is not None else "*"


def _kept(new: Any, old: Any, path: str) -> Any:
    """The new value, with what stands for a hidden secret replaced by what is stored at its place."""
    if isinstance(new, str) and new == MASK:
        if old is _MISSING:
            raise EditRefused(f"{path} is only the mask of a secret, and nothing is stored there.")
        return old
    if isinstance(new, dict):
        known = old if isinstance(old, dict) else {}
        return {
            name: _kept(one, known.get(name, _MISSING), f"{path}.{name}" if path else name)
            for name, one in new.items()
        }
    if isinstance(new, list):
        stored = old if isinstance(old, list) else []
        return [
            _kept(one, stored[at] if at < len(stored) else _MISSING, f"{path}[{at}]")
            for at, one in enumerate(new)
        ]
    return new


_MISSING = object()


def _stored(job: JobView) -> Any:
    try:
        return msgspec.json.decode(job.args)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def _as_new(task: Task[..., Any], data: bytes) -> NewJob:
    """The job that these arguments would make; raises EditRefused with the path of what does not fit."""
    try:
        return Using(task).new_job((), task.codec.decode(data))
    except WrongArgument as error:
        field = error.field or "the arguments"
        raise EditRefused(f"Job not changed: {field} {error.problem}.", hint=error.hint or None) from None


def _as_old(task: Task[..., Any], job: JobView) -> NewJob | None:
    """The job that the stored arguments would make today; None where they cannot be read any more."""
    try:
        return Using(task).new_job((), task.codec.decode(job.args))
    except DutifulError:
        return None
