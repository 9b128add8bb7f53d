"""The transition relation between two looks at one job: which verb of the table may lie between them.

The model's steps and the rows of the real store are held against the same relation. States come from
``dutiful.model.states.VERBS``; what a verb does to token, counters and epoch is the table below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dutiful.model.states import VERBS

GONE = "pruned"
"""The state of a job that is in no table any more."""


class Look(NamedTuple):
    """What counts of a job's row. Tokens are compared, never read; None stands for NULL."""

    state: str
    outcome: str | None
    token: object
    last: object
    run_no: int
    attempt: int
    crashes: int
    epoch: int
    at_most_once: bool
    started: bool
    asked: bool = False
    """Whether somebody asked it to stop; beside the state, so that a change of it alone is no step."""


TABLE = """
verb           | token | run_no | attempt | epoch | crashes | started at most once
claim          | new   | +1     | +1      | =     | =       | no
start          | =     | =      | =       | =     | =       | becomes
complete       | over  | =      | =       | =     | =       | =
duplicate      | over  | =      | =       | =     | =       | =
fail           | over  | =      | = -1    | =     | =       | no
bury           | over  | =      | =       | =     | =       | =
snooze         | over  | =      | = -1    | =     | =       | no
release        | over  | =      | -1      | =     | =       | no
abort          | over  | =      | = -1    | =     | =       | =
doubt          | over  | =      | =       | =     | =       | =
lapse          | over  | =      | -1      | =     | = +1    | no
lapse_last     | over  | =      | -1      | =     | = +1    | no
lapse_in_doubt | over  | =      | =       | =     | =       | =
skip           | none  | =      | =       | =     | =       | no
expire         | none  | =      | =       | =     | =       | no
report         | none  | =      | =       | =     | =       | =
report_failed  | none  | =      | =       | =     | =       | =
confirm        | none  | =      | =       | =     | =       | =
resume         | none  | =      | = -1    | =     | =       | ends
refute         | none  | =      | = -1    | grows | =       | ends
waive          | none  | =      | =       | =     | =       | =
unwaive        | none  | =      | =       | =     | =       | =
retry          | none  | =      | 0       | grows | 0       | ends
cancel         | none  | =      | =       | =     | =       | =
"""


HANDED_BACK = {"skip", "expire"}
"""Verbs that begin at ready, and are carried out by the run that found the job too late: in one transaction
it hands the job back and ends it."""

OUTCOMES = {
    "complete": "performed",
    "duplicate": "duplicate",
    "skip": "skipped",
    "report": "performed",
    "confirm": "performed",
    "waive": "waived",
}


FORGIVING = {"retry", "resume", "refute"}
"""A person who brings a job back may take back what somebody asked of an earlier run."""


@dataclass(frozen=True)
class Change:
    """One row of the table above."""

    token: str
    run_no: str
    attempt: str
    epoch: str
    crashes: str
    started: str


def _parsed(table: str) -> dict[str, Change]:
    rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()[1:]]
    return {verb: Change(*cells) for verb, *cells in rows}


CHANGES = _parsed(TABLE)


def objections(verb: str, a: Look | None, b: Look | None) -> list[str]:
    """Why the verb may not lead from one look to the other; empty if it may. None: no such job (yet)."""
    transition = VERBS[verb]
    if verb in HANDED_BACK and a is not None and a.state == "running":
        between = a._replace(state="ready", token=None, last=a.token, attempt=max(a.attempt - 1, 0))
        return [*objections("release", a, between), *objections(verb, between, b)]
    if verb == "enqueue":
        return [] if a is None and b is not None and _is_new(b) else ["not a new job"]
    if a is None or not transition.allows(a.state, a.outcome):
        return [f"not from {_named(a)}"]
    if verb == "prune":
        return [] if b is None or b.state == GONE else ["it is still there"]
    if b is None or b.state not in transition.targets:
        return [f"not to {_named(b)}"]
    change = CHANGES[verb]
    found = []
    if not _token_fits(change.token, a, b):
        found.append(f"token: {change.token}")
    for name in ("run_no", "attempt", "crashes"):
        was, now, rule = getattr(a, name), getattr(b, name), getattr(change, name)
        if now not in _allowed(rule, was):
            found.append(f"{name}: {was} to {now}, not {rule}")
    begun = a.at_most_once and a.started
    grown = change.epoch == "grows" and begun
    if (b.epoch <= a.epoch) if grown else (b.epoch != a.epoch):
        found.append(f"epoch: {a.epoch} to {b.epoch}")
    if change.started == "no" and begun:
        found.append("never a started at_most_once")
    if change.started == "becomes":
        if not (b.at_most_once and b.started):
            found.append("only at_most_once starts")
    elif a.at_most_once != b.at_most_once:
        found.append("its delivery was changed")
    if verb == "abort" and not a.asked:
        found.append("nobody asked it to stop")
    if a.asked and not b.asked and b.state in ("ready", "running") and verb not in FORGIVING:
        found.append("that it was asked to stop was forgotten")
    if b.outcome != OUTCOMES.get(verb):
        found.append(f"outcome: {b.outcome}, not {OUTCOMES.get(verb)}")
    if change.started == "ends" and b.started:
        found.append("its start was not taken away")
    if change.started == "=" and b.started != a.started:
        found.append("its start was changed")
    return found


def same(a: Look | None, b: Look | None) -> bool:
    """Whether nothing happened but that somebody asked it to stop."""
    return a == b or (a is not None and b is not None and b.asked and a._replace(asked=True) == b)


def explanations(a: Look | None, b: Look | None) -> list[str]:
    """All verbs that may lie between two looks."""
    return [verb for verb in VERBS if not objections(verb, a, b)]


def _is_new(b: Look) -> bool:
    return (b.state, b.token, b.run_no, b.attempt, b.crashes, b.started) == ("ready", None, 0, 0, 0, False)


def _token_fits(rule: str, a: Look, b: Look) -> bool:
    match rule:
        case "new":
            return a.token is None and b.token is not None and b.token != a.last == b.last
        case "=":
            return a.token == b.token and a.last == b.last
        case "over":
            return a.token is not None and b.token is None and b.last == a.token
    return a.token is None and b.token is None and a.last == b.last


def _allowed(rule: str, was: int) -> set[int]:
    """``= -1`` allows both: the same, or one less (given back, but never below 0)."""
    allowed = set()
    for word in rule.split():
        match word:
            case "=":
                allowed.add(was)
            case "0":
                allowed.add(0)
            case _:
                allowed.add(max(was + int(word), 0))
    return allowed


def _named(look: Look | None) -> str:
    if look is None:
        return "nothing"
    return f"{look.state}({look.outcome})" if look.outcome else look.state
