"""Who did what to which job, when and why: a row in the action's own transaction."""

from __future__ import annotations

from .plan import Call, Steps, query


def note(verb: str, app: str, actor: str, subject: str, before: str, after: str, reason: str) -> Call:
    """The call that leaves the audit row; the action's operation yields it."""
    return Call(
        "add_audit",
        {
            "verb": verb,
            "app": app,
            "actor": actor,
            "subject": subject,
            "before": before,
            "after": after,
            "reason": reason,
        },
    )


@query
def of(subject: str) -> Steps[list[dict[str, object]]]:
    """What people did to one job, oldest first."""
    rows = yield Call("list_audit", {"subject": subject})
    names = ("at", "actor", "verb", "before", "after", "reason")
    return [dict(zip(names, row, strict=True)) for row in rows]
