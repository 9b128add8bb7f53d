"""The errors of what a program declares; the whole tree is in :mod:`.errors`."""

from __future__ import annotations

from .error_root import DutifulError


class DeclarationError(DutifulError):
    """Something declared in the program cannot work. Raised at import, before any job exists."""

    code = "DE100"


class InvalidTask(DeclarationError):
    """A task's declaration contradicts itself or its function."""

    code = "DE101"


class InvalidTemplate(DeclarationError):
    """A key template names something that the task's arguments do not have."""

    code = "DE102"
    hint = 'A template names arguments of the task: once="receipt:{order_id}" or "{order.id}".'


class InvalidDuration(DeclarationError):
    """A duration is neither a timedelta, nor a number of seconds, nor text like "5m"."""

    code = "DE103"
    hint = 'Write a timedelta, seconds, or a number with a unit: "250ms", "30s", "5m", "6h", "7d".'


class NotBuilt(DeclarationError):
    """The declaration is understood, but this version cannot keep it yet, so it refuses it."""

    code = "DE104"


class InvalidSchedule(DeclarationError):
    """A schedule's expression, interval, zone or policy cannot work."""

    code = "DE106"


class InvalidReconcile(DeclarationError):
    """A reconciliation's expected or done side, its times, or the rows that they yield cannot work."""

    code = "DE107"


class AppNotFound(DeclarationError):
    """The place given as MODULE:APP does not lead to an App."""

    code = "DE105"
