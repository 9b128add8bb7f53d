"""What is enqueued, for a test to look at: jobs that wait, with their arguments as the task declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..app.app import App
from ..app.task import Task
from ..operations import inspect

LOOK_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One job that is not done: its task's name, its decoded arguments, its key, and when it is due."""

    id: str
    task: str
    args: dict[str, Any]
    key: str | None
    run_at_us: int

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        return f"{self.task}({given})" + (f" {self.key}" if self.key is not None else "")


def enqueued(app: App, task: Task[..., Any] | str | None = None) -> list[Enqueued]:
    """The jobs that wait, oldest first; only those of ``task``, if it is given."""
    name = task.name if isinstance(task, Task) else task
    lines = app.engine.run(inspect.jobs(app.name, state="ready", task=name, limit=LOOK_MAX))
    found = []
    for line in reversed(lines):
        job = app.engine.run(inspect.job(app.name, line.id))
        args = app.find_task(job.task).codec.decode(job.args)
        found.append(Enqueued(job.id, job.task, args, job.key, job.run_at_us))
    return found


def assert_enqueued(
    app: App, task: Task[..., Any] | str, *, times: int = 1, key: str | None = None, **args: Any
) -> list[Enqueued]:
    """That so many jobs of the task wait, with these arguments (those that are named) and this key.

    Returns them. Raises AssertionError, which says what is there instead.
    """
    every = enqueued(app, task)
    found = [
        one
        for one in every
        if (key is None or one.key == key)
        and all(one.args.get(name) == value for name, value in args.items())
    ]
    if len(found) != times:
        name = task.name if isinstance(task, Task) else task
        wanted = ", ".join(f"{k}={v!r}" for k, v in ({"key": key} if key is not None else {} | args).items())
        there = "".join(f"\n  {one}" for one in (every or enqueued(app))) or "\n  nothing"
        raise AssertionError(
            f"{times} of {name}({wanted}) should wait, and {len(found)} do. What waits:{there}"
        )
    return found
