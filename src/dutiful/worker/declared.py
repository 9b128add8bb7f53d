"""What an app declares that a worker begins with: its queues, their lanes, who runs in a child."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..app.app import App


def all_queues(app: App) -> str:
    """Every queue of its tasks, as for ``-q``: in turn, none before another."""
    names = {task.policy.queue for task in app.tasks.values()} | set(app.queues)
    return ",".join(f"{name}:1" for name in sorted(names)) if len(names) > 1 else ",".join(names) or "default"


def lanes_of(app: App) -> list[tuple[str, int]]:
    """The (queue, priority) of each task."""
    return [(task.policy.queue, task.policy.priority) for task in app.tasks.values()]


def is_isolated(app: App, name: str) -> bool:
    """Whether the task runs in a child process."""
    return app.find_task(name).policy.isolation == "process"
