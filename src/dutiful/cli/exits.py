"""Exit codes: what each number means, and which error ends with which. Frozen by tests.

A script may rely on them; a message may change its words, a code never changes its meaning.
"""

from __future__ import annotations

from typing import Final

import click

from ..model import errors

DONE: Final = 0
"""Done, or all is well."""
BAD: Final = 1
"""It ran, and the answer is bad: a finding, a job that is not there, something for a person."""
USAGE: Final = 2
"""The command was not understood, or a value in it makes no sense."""
CANNOT_SAY: Final = 3
"""The answer is not known: a partial read, a commit without an answer."""
NO_STORE: Final = 4
"""The store cannot be reached or has the wrong schema, or the app cannot be imported."""
REFUSED: Final = 5
"""Understood and refused: a state that forbids it, a read-only store, a confirmation that is missing."""
PARTIAL: Final = 6
"""Some of it was done; what was not is listed."""
BUG: Final = 70
"""An error that is ours; a report was written."""
INTERRUPTED: Final = 130
"""Ctrl-C; what was done until then stays done."""

OF_ERRORS: Final[tuple[tuple[type[errors.DutifulError], int], ...]] = (
    (errors.AppNotFound, NO_STORE),
    (errors.DeclarationError, USAGE),
    (errors.KeyReused, REFUSED),
    (errors.EnqueueError, USAGE),
    (errors.StoreReadOnly, REFUSED),
    (errors.CommitUnknown, CANNOT_SAY),
    (errors.StoreError, NO_STORE),
    (errors.JobNotFound, BAD),
    (errors.StateError, REFUSED),
    (errors.ResultNotReady, CANNOT_SAY),
    (errors.RunError, BAD),
    (errors.OnceError, BAD),
    (errors.SlotsDiffer, REFUSED),
    (errors.LockError, BAD),
    (errors.BulkNotFound, BAD),
    (errors.OpsError, REFUSED),
    (errors.PageNotInstalled, NO_STORE),
    (errors.PageError, REFUSED),
    (errors.DutifulError, BUG),
)
"""The first class that fits decides."""


def exit_of(error: errors.DutifulError) -> int:
    """The exit code for an error of ours."""
    return next(code for kind, code in OF_ERRORS if isinstance(error, kind))


class Refusal(click.ClickException):
    """The command line itself refuses: what would have been asked needs a flag where nobody can answer."""

    exit_code = REFUSED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
