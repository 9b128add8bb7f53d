"""Where a task's function stands in the program's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .task import Task


def same_source(one: Task[..., Any], other: Task[..., Any]) -> bool:
    """A module that is imported anew (reload, __main__) declares the same task again: no conflict."""
    first, second = (cast(Any, task.function).__code__ for task in (one, other))
    return (first.co_filename, first.co_qualname) == (second.co_filename, second.co_qualname)


def place(task: Task[..., Any]) -> str:
    code = cast(Any, task.function).__code__
    return f"{task.function.__module__} ({code.co_filename}:{code.co_firstlineno})"
