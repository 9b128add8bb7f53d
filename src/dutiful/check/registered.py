"""Declarations as they are registered on an app that was imported: they win over what the text says."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..app.app import App
from .sources import Function, Project
from .systems import with_repeats
from .tasks import Task


def modules_of(app: App) -> tuple[Path, ...]:
    """The folders (of a package, its outermost) or files in which the app's tasks stand."""
    found: dict[Path, None] = {}
    for task in app.tasks.values():
        path = _file(task.function)
        if path is None:
            continue
        top = path
        while (top.parent / "__init__.py").exists():
            top = top.parent
        found[top] = None
    return tuple(found) or (Path("."),)


def with_registered(app: App) -> Callable[[Project, list[Task]], list[Task]]:
    """A step of the examination that puts what is registered into the tasks that were found."""

    def step(project: Project, tasks: list[Task]) -> list[Task]:
        by_place = {(task.module.path.resolve(), task.node.name): task for task in tasks}
        for one in app.tasks.values():
            path = _file(one.function)
            if path is None:
                continue
            task = by_place.get((path.resolve(), one.function.__name__)) or _new(
                project, path, one.function, tasks
            )
            if task is None:
                continue
            task.name = one.name
            for option, value in _declared(one).items():
                if option not in task.options or task.constant(option) != value:
                    task.options[option] = ast.Constant(value)
            with_repeats(task)
        return tasks

    return step


def _new(project: Project, path: Path, function: Any, tasks: list[Task]) -> Task | None:
    """A task that was declared in a way that the text does not show."""
    for name, known in project.files.items():
        if known.resolve() == path.resolve() and (module := project.module(name)) is not None:
            node = module.top.get(function.__name__)
            if isinstance(node, Function):
                task = Task("dutiful", "", module, node, project=project, stops=lambda _: False)
                tasks.append(task)
                return task
    return None


def _declared(one: Any) -> dict[str, Any]:
    policy = one.policy
    found: dict[str, Any] = {"delivery": policy.delivery, "queue": policy.queue}
    if policy.timeout_us is not None:
        found["timeout"] = policy.timeout_us / 1e6
    if one.once is not None:
        found["once"] = str(getattr(one.once, "text", one.once))
    if policy.retry.times == 0:
        found["retry"] = 0
    if policy.late is not None:
        found["late"] = True
    return found


def _file(function: Any) -> Path | None:
    try:
        return Path(inspect.getsourcefile(inspect.unwrap(function)) or "")
    except TypeError:
        return None
