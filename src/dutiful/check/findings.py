"""A finding as it is shown, and the outcome of one examination."""

from __future__ import annotations

from dataclasses import dataclass, field

from .catalogue import Severity
from .tasks import Task


@dataclass(frozen=True)
class Finding:
    """One place at which one rule found something."""

    rule: str
    severity: Severity
    path: str
    line: int
    column: int
    task: str
    """The task's name; empty for what belongs to none."""
    system: str
    why: str
    fix: str
    source: str = ""
    """The line of code, white space squeezed."""
    tasks: int = 1
    """How many tasks come by here."""
    first_line: int = 0
    last_line: int = 0
    """The lines on which a silence may stand."""

    @property
    def order(self) -> tuple[str, int, str]:
        """By file, line and rule."""
        return self.path, self.line, self.rule


@dataclass
class Outcome:
    """What an examination found and what it could not look at."""

    findings: list[Finding] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)
    """How many tasks of each job system were looked at."""
    files: int = 0
    lines: int = 0
    silenced: int = 0
    known: int = 0
    """How many are in the baseline."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Rules that could not be carried out, and what they need."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Files that could not be read, and why."""
    found: list[Task] = field(default_factory=list)
    """The tasks themselves."""

    def count(self, severity: Severity) -> int:
        """How many findings of that severity there are."""
        return sum(one.severity == severity for one in self.findings)

    def fails(self, strict: bool) -> bool:
        """Whether there is something that should stop a build."""
        return bool(self.count("E") or (strict and self.count("W")))
