"""People who act on jobs: who one is, and what each may do.

A permission is one word; a preset is a set of them. An operator may be held to some queues and tasks:
then whatever is not known to lie within them is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from .declaration_errors import DeclarationError

PERMISSIONS: Final = (
    "view", "view_args", "reveal_secrets", "ack", "retry", "edit", "discard", "bulk", "pause", "schedule",
    "locks", "reconcile", "enqueue", "purge", "admin",
)  # fmt: skip
"""``admin`` includes all others."""

PRESETS: Final[dict[str, frozenset[str]]] = {
    "viewer": frozenset({"view", "view_args"}),
    "operator": frozenset(PERMISSIONS) - {"reveal_secrets", "purge", "admin"},
    "admin": frozenset(PERMISSIONS),
}

NEEDS: Final[dict[str, str]] = {
    "cancel": "discard",
    "retry": "retry",
    "edit": "edit",
    "discard": "discard",
    "undo": "discard",
    "ack": "ack",
    "take": "ack",
    "confirm": "reconcile",
    "resume": "reconcile",
    "refute": "reconcile",
    "pause_queue": "pause",
    "resume_queue": "pause",
    "limit_queue": "pause",
    "run_schedule": "schedule",
    "skip_schedule": "schedule",
    "pause_schedule": "schedule",
    "resume_schedule": "schedule",
    "approve_reconcile": "reconcile",
    "run_reconcile": "reconcile",
    "pause_reconcile": "reconcile",
    "resume_reconcile": "reconcile",
    "break_lock": "locks",
    "waive_line": "ack",
    "end_waiver": "ack",
    "enqueue": "enqueue",
    "bulk": "bulk",
    "reveal": "reveal_secrets",
}
"""The permission that each verb asks for. A bulk operation asks for its verb's, and for ``bulk``."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts. ``id`` is what audit rows name; ``perms`` are permissions, or the name of a preset.

    ``how`` the person came here, and from which ``address``, is written into the audit. ``queues`` and
    ``tasks`` hold one to these (``*`` and ``?`` stand for any letters); left away: all. Raises
    DeclarationError for a word that is no permission.
    """

    id: str
    name: str = ""
    perms: frozenset[str] | Iterable[str] | str = "viewer"
    how: str = "cli"
    address: str = ""
    queues: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise DeclarationError("An operator needs an id: the audit names it.")
        object.__setattr__(self, "perms", permissions(self.perms))
        for scope in ("queues", "tasks"):
            if (named := getattr(self, scope)) is not None:
                object.__setattr__(self, scope, tuple(named))

    @property
    def scoped(self) -> bool:
        """Whether there are queues or tasks that are not this one's."""
        return self.queues is not None or self.tasks is not None

    def may(self, permission: str, *, queue: str | None = None, task: str | None = None) -> bool:
        """Whether this is allowed, of this queue and task; what a scope asks for and is not told is not."""
        if permission not in self.perms and "admin" not in self.perms:
            return False
        return _within(self.queues, queue) and _within(self.tasks, task)


def permissions(given: Iterable[str] | str) -> frozenset[str]:
    """The permissions of a preset, or those listed; raises DeclarationError for unknown words."""
    words = [given] if isinstance(given, str) else list(given)
    found: set[str] = set()
    for word in words:
        if word in PRESETS:
            found |= PRESETS[word]
        elif word in PERMISSIONS:
            found.add(word)
        else:
            raise DeclarationError(
                f"{word!r} is no permission.",
                hint=f"Presets: {', '.join(PRESETS)}. Permissions: {', '.join(PERMISSIONS)}.",
            )
    if "admin" in found:
        found.update(PERMISSIONS)
    return frozenset(found)


def _within(scope: tuple[str, ...] | None, name: str | None) -> bool:
    return scope is None or (name is not None and any(fnmatchcase(name, pattern) for pattern in scope))


def preset(name: str) -> frozenset[str]:
    """The permissions of "viewer", "operator" or "admin"; raises DeclarationError for another name."""
    if name not in PRESETS:
        raise DeclarationError(f"{name!r} is no preset.", hint=f"Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]
