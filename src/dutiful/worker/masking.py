"""What the log says of an error of a body: its text without what is secret in the job's arguments.

The rules are those of the page, but for the app's own (``redact=``), which only the page is given. They fail
closed: of a job whose arguments cannot be read whole, nothing that its error says is logged but its kind.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from ..model.jobs import Lease
from ..model.redaction import Redactor, secret_parameters

if TYPE_CHECKING:
    from ..app.task import Task


def secrets_of(task: Task[..., Any]) -> frozenset[str]:
    """The parameters of a task that are marked secret; all that mention it where nobody can tell."""
    try:
        return secret_parameters(typing.get_type_hints(task.function, include_extras=True))
    except Exception:  # an annotation of the user's that does not resolve here
        raw = getattr(task.function, "__annotations__", {})
        return frozenset(name for name, annotation in raw.items() if "Secret" in str(annotation))


def masked(task: Task[..., Any], args: bytes, text: str) -> str:
    """The text as it may be logged, beside a job with these arguments. Never raises."""
    redactor = Redactor({task.name: secrets_of(task)})
    shown = redactor.args(task.name, args)
    return redactor.text(text, shown.hidden, whole=shown.whole)


def said(task: Task[..., Any], lease: Lease, error: BaseException) -> str:
    """An error as it may be logged. Never raises."""
    try:
        text = repr(error)
    except Exception:  # an error whose own text raises
        return type(error).__name__
    shown = masked(task, lease.args, text)
    return shown if shown else type(error).__name__
