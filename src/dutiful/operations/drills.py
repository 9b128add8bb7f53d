"""Drills as they are kept: what came of each, of which code. Of every task the last ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from .plan import Call, Row, Steps, as_json, operation, query, typed

Outcome = Literal["clean", "findings", "not comparable"]

KEEP: Final = 20
"""So many of a task's drills are kept."""
LISTED: Final = 50
TEXT_MAX: Final = 2_000
FINDINGS_MAX: Final = 50


class Found(Struct, frozen=True):
    """One finding: the scenario's kind, the place, the rule, and the story in short."""

    scenario: str
    title: str
    rule: str
    story: str
    differs: str
    fix: str


class NewDrill(Struct, frozen=True):
    """What came of a drill. ``code``: a hash of what was drilled, "" where it could not be read.

    ``wanted`` scenarios were chosen, ``done`` of them could take place; ``played`` has, by kind, how many did
    and how many failed; ``mode`` the options and what was seen on the way.
    """

    task: str
    code: str
    version: str
    engine: str
    outcome: Outcome
    why: str = ""
    wanted: int = 0
    done: int = 0
    runs: int = 0
    took_us: int = 0
    findings: Sequence[Found] = ()
    played: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    mode: Mapping[str, Any] = field(default_factory=dict)


class Drill(Struct, frozen=True):
    """The same as it is kept: when, and by whom."""

    id: int
    task: str
    at_us: int
    by: str
    code: str
    version: str
    engine: str
    wanted: int
    done: int
    runs: int
    took_us: int
    outcome: Outcome
    why: str
    findings: list[Found]
    played: dict[str, tuple[int, int]]
    mode: dict[str, Any]
    now_us: int

    @classmethod
    def of(cls, row: Row) -> Drill:
        """From a row of ``list_drills``."""
        findings = msgspec.json.decode(row[13], type=list[Found])
        played = msgspec.json.decode(row[14], type=dict[str, tuple[int, int]])
        values = (*row[:13], findings, played, msgspec.json.decode(row[15]), row[16])
        return typed(cls, values)

    def changed(self, code: str | None) -> bool | None:
        """Whether the code is another one than this; None where one of the two is not known."""
        return self.code != code if self.code and code else None


@operation
def record(app: str, drill: NewDrill, *, by: str) -> Steps[int]:
    """Keep what came of a drill; returns its number."""
    findings = [_short(one) for one in drill.findings[:FINDINGS_MAX]]
    params: dict[str, object] = {
        "app": app,
        "task": drill.task,
        "by": by,
        "code": drill.code,
        "version": drill.version,
        "engine": drill.engine,
        "wanted": drill.wanted,
        "done": drill.done,
        "runs": drill.runs,
        "took": drill.took_us,
        "outcome": drill.outcome,
        "why": drill.why[:TEXT_MAX],
        "findings": as_json(findings),
        "played": as_json(dict(drill.played)),
        "mode": as_json(dict(drill.mode)),
    }
    [(number,)] = yield Call("add_drill", params)
    yield Call("forget_drills", {"app": app, "task": drill.task, "keep": KEEP})
    return int(number)


@query
def of(app: str, task: str | None = None, *, limit: int = LISTED) -> Steps[list[Drill]]:
    """The drills of a task, or of all, the latest first."""
    params = {"app": app, "task": task, "limit": limit}
    return [Drill.of(row) for row in (yield Call("list_drills", params, alone=True))]


@query
def latest(app: str, task: str | None = None) -> Steps[dict[str, Drill]]:
    """The last drill of each task, or of one."""
    rows = yield Call("latest_drills", {"app": app, "task": task}, alone=True)
    return {row[1]: Drill.of(row) for row in rows}


def undrilled(tasks: int, clean: int) -> str:
    """What nobody has drilled clean, in words; "" if all is."""
    if tasks and clean >= tasks:
        return ""
    return f"drills of {tasks - clean} of {tasks} tasks" if clean else "drills"


def _short(one: Found) -> Found:
    return Found(
        one.scenario, one.title, one.rule, one.story[:TEXT_MAX], one.differs[:TEXT_MAX], one.fix[:TEXT_MAX]
    )
