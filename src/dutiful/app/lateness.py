"""What a declaration and an enqueue say about being too late, checked; and what takes a late job's place."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..model.durations import Duration, microseconds
from ..model.errors import InvalidOption, InvalidTask
from ..model.jobs import Lease, NewJob
from ..model.late import WORDS, Late

if TYPE_CHECKING:
    from .task import Task


def deadline_of(deadline: datetime | Duration | None) -> dict[str, int | None]:
    """The fields of a NewJob; raises InvalidOption, InvalidDuration."""
    if deadline is None:
        return {}
    if isinstance(deadline, datetime):
        if deadline.utcoffset() is None:
            raise InvalidOption("deadline is a datetime without time zone.", hint="Give it one: tzinfo=UTC.")
        return {"deadline_us": round(deadline.timestamp() * 1_000_000)}
    return {"deadline_in_us": microseconds(deadline, what="deadline", zero_ok=False)}


def check_late(task: Task[..., Any], late: Late) -> None:
    """Whether ``then=`` can be done; raises InvalidTask. Another task has to take the same arguments."""
    from .task import Task

    if not isinstance(late, Late):
        raise InvalidTask(f'{task.name}: late={late!r} is no Late, as in late=Late("1d", then="skip").')
    other = late.then
    if isinstance(other, str) and other in WORDS:
        return
    if not isinstance(other, Task) or other.app is not task.app:
        raise InvalidTask(
            f'{task.name}: Late(then=…) is "run", "skip", "dead", or a task of app {task.app.name!r}.'
        )
    here, there = task.codec, other.codec
    missing = [name for name in here.parameters if name not in there.parameters]
    wanted = [name for name in there.parameters if name not in here.parameters and name not in there.defaults]
    differ = [
        name
        for name, kind in here.parameters.items()
        if name in there.parameters and there.parameters[name] != kind
    ]
    if missing or wanted or differ:
        why = f"does not take {', '.join(missing)}" if missing else f"wants {', '.join(wanted)}"
        why = why if missing or wanted else f"takes another type of {', '.join(differ)}"
        raise InvalidTask(
            f"{task.name}: {other.name}, which is to take its place when it is late, {why}.",
            hint="Give both functions the same parameters.",
        )


def in_place_of(task: Task[..., Any], lease: Lease, other: Task[..., Any]) -> NewJob:
    """The job of ``other`` with the arguments of a job that is skipped. Raises what decoding raises.

    Where its duty is known already, with whatever arguments, that job is kept.
    """
    return other.using(on_duplicate="keep").new_job((), task.codec.decode(lease.args))
