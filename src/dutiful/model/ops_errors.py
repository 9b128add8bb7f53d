"""Errors of the service layer: a person's verb was refused, and nothing was changed."""

from __future__ import annotations

from .error_root import DutifulError


class OpsError(DutifulError):
    """A person's verb was refused by the rules for people. Nothing was changed."""

    code = "DE800"


class NotAllowed(OpsError):
    """This operator has not the permission, or not for this queue or task."""

    code = "DE801"

    def __init__(self, who: str, permission: str, what: str = "") -> None:
        self.who, self.permission = who, permission
        where = f" for {what}" if what else ""
        super().__init__(
            f"{who} has no permission {permission!r}{where}.",
            hint="Presets are viewer, operator and admin; whoever maps people to them can change it.",
        )


class ReadOnly(OpsError):
    """These operations were opened read-only: nothing is changed through them."""

    code = "DE802"
    hint = "Use the command line, or a page that was not started with --read-only."


class Changed(OpsError):
    """The row is not as it was when the person looked; ``now`` says how it is."""

    code = "DE803"
    hint = "Look at it again, and decide anew."

    def __init__(self, verb: str, what: str, now: str) -> None:
        self.verb, self.what, self.now = verb, what, now
        super().__init__(f"Cannot {verb} {what}: it changed since it was looked at; it is {now}.")


class ActionReused(OpsError):
    """A one-time action id was used before, for something else."""

    code = "DE804"
    hint = "Make a new id for each action (dutiful.supervise.ops.action_id())."


class ReasonNeeded(OpsError):
    """This is only done with a reason, for the audit."""

    code = "DE805"
    hint = "Say why: --reason TEXT"


class BulkNotFound(OpsError):
    """No bulk operation of that id."""

    code = "DE806"
    hint = "dutiful bulk list"


class BulkRefused(OpsError):
    """A bulk operation is not in a state that allows this, or is not to be undone."""

    code = "DE807"


class AckRefused(OpsError):
    """An acknowledgement was refused."""

    code = "DE808"


class EditRefused(OpsError):
    """A dead job's arguments were not changed, and it was not retried."""

    code = "DE809"


class WaiverRefused(OpsError):
    """A line of the checklist was not waived, or not opened again."""

    code = "DE811"


class ChoiceNeeded(OpsError):
    """Nobody can know whether running the job again is harmless, so that somebody has to choose."""

    code = "DE810"

    def __init__(self, job_id: str, why: str) -> None:
        self.job_id, self.why = job_id, why
        super().__init__(
            f"Job {job_id} is not retried without a choice: {why}.",
            hint="Find out what became of it; then retry it with --choice retry, or discard it.",
        )
