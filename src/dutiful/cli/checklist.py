"""What a store adds to ``dutiful check``: drills, the checklist's lines by task, and waivers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from ..check.findings import Outcome
from ..check.hashing import Hashes, first_line
from ..check.tasks import Task
from ..engines.contract import Engine
from ..model.answers import Cell, State
from ..model.checklist import LINES, checklist, summed
from ..model.durations import microseconds
from ..model.errors import InvalidDuration
from ..operations import checklist as checklists
from ..operations import drills
from ..operations.drills import Drill
from ..supervise.checklist_ops import ChecklistOps
from ..supervise.ops import Operator
from . import drills as kept
from .printing import Printer
from .reach import Reach
from .session import Session
from .times import iso, parse_instant

COLOURS: dict[State, str] = {
    "drilled": "green", "observed": "green", "declared": "yellow", "waived": "cyan", "unknown": "yellow",
    "na": "white", "missing": "red",
}  # fmt: skip
TOLD: frozenset[State] = frozenset({"missing", "waived"})
"""What the text tells of a task, beside its drill."""


@dataclass(frozen=True)
class Line:
    """One task of dutiful's: where it stands in the code, its last drill, and how its lines are answered.

    ``cells`` is None for a task that no worker has declared yet.
    """

    task: str
    place: str
    code: str
    drill: Drill | None
    cells: Sequence[Cell] | None


def lines_of(engine: Engine, app: str, outcome: Outcome) -> list[Line]:
    """What the store knows of the tasks that were found. Raises what the store raises."""
    ours = [one for one in outcome.found if one.is_ours]
    hashes = Hashes()
    latest = engine.run(drills.latest(app))
    known = {one.task: one for one in engine.run(checklists.facts(app))}
    names = {one.name: _stored(one.name, {*latest, *known}) for one in ours}
    codes = {names[one.name]: _hash(hashes, one) for one in ours}
    known = {one.task: one for one in engine.run(checklists.facts(app, codes=codes))} if known else {}
    return [
        Line(
            name := names[one.name],
            f"{one.module.shown}:{one.node.lineno}",
            codes[name],
            latest.get(name),
            checklist(known[name]) if name in known else None,
        )
        for one in sorted(ours, key=lambda one: one.name)
    ]


def _hash(hashes: Hashes, task: Task) -> str:
    return hashes.at(task.module.path, task.node.name, first_line(task.node))


def _stored(name: str, stored: set[str]) -> str:
    """The name as the store has it: code may be looked at from another folder than it is imported from."""
    if name in stored:
        return name
    fitting = [one for one in stored if name.endswith(f".{one}")]
    return fitting[0] if len(fitting) == 1 else name


def put(printer: Printer, lines: Sequence[Line]) -> None:
    """By task: its last drill, what is missing, what is waived."""
    for one in lines:
        head = f"{one.task}  {one.place}"
        printer.put(click.style(head, bold=True) if printer.rich else head)
        told = kept.said(one.drill, one.code)
        sign = kept.sign(one.drill, one.code)
        fix = "" if sign == "✓" else f"   dutiful drill {_address(one.task)} --fixture FILE.sql"
        printer.put(f"  {sign} {told}{fix}")
        if one.cells is None:
            printer.prose("no worker has declared it yet: the store knows nothing else of it", indent="  ? ")
        for cell in one.cells or ():
            if cell.state in TOLD and not (cell.line == "idempotent" and one.drill is None):
                _put_cell(printer, cell)
        printer.put()
    if lines:
        printer.put(told_sum(lines))


def _put_cell(printer: Printer, cell: Cell) -> None:
    sign = click.style(cell.sign, fg=COLOURS[cell.state]) if printer.rich else cell.sign
    printer.prose(f"{sign} {cell.line:<12} {cell.words}", indent="  ", hanging=" " * 17)
    if cell.state == "missing":
        rule = LINES[cell.line].rule
        said = [cell.fix, f"explain {rule}" if rule else ""]
        printer.put(f"{'':17}{'   '.join(one for one in said if one)}")


def told_sum(lines: Sequence[Line]) -> str:
    """How many tasks pass, in one line."""
    found = summed([one.cells for one in lines if one.cells is not None])
    drilled = sum(kept.sign(one.drill, one.code) == "✓" for one in lines)
    clean = f"{drilled} of {len(lines)} drilled clean with this code."
    if not found.tasks:
        return f"Checklist: {clean}"
    tasks = "1 task" if found.tasks == 1 else f"{found.tasks} tasks"
    passing = "passes" if found.passing == 1 else "pass"
    failing = "fails" if found.failing == 1 else "fail"
    open_lines = "1 line" if found.checks == 1 else f"{found.checks} lines"
    return (
        f"Checklist: {tasks}: {found.passing} {passing}, {found.failing} {failing} ({open_lines}),"
        f" {found.waived} waived; {clean}"
    )


def document(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "task": one.task,
            "place": one.place,
            "drill": None if one.drill is None else kept.document(one.drill, one.code),
            "lines": None if one.cells is None else [_of_cell(cell) for cell in one.cells],
        }
        for one in lines
    ]


def _of_cell(cell: Cell) -> Mapping[str, Any]:
    waiver = cell.waiver
    return {
        "line": cell.line,
        "state": cell.said,
        "words": cell.words,
        "fix": cell.fix,
        "rule": LINES[cell.line].rule or None,
        "waiver": None
        if waiver is None
        else {
            "owner": waiver.owner,
            "by": waiver.by,
            "reason": waiver.reason,
            "until": iso(waiver.until_us),
        },
    }


def _address(task: str) -> str:
    module, _, name = task.rpartition(".")
    return f"{module}:{name}" if module else f"MODULE:{name}"


# ── waivers ─────────────────────────────────────────────────────────────────────────────────


def waive(
    session: Session, store: Reach, named: tuple[str, str], owner: str, until: str, because: str
) -> None:
    """A line is answered by a reason, until then."""
    span_us = _span(session, until)
    ops = ChecklistOps(store, Operator(session.who, perms="admin", how="cli"))
    done = ops.waive_line(*named, owner=owner, span_us=span_us, reason=because)
    session.printer.say(f"{done.said}; it lapses by itself.")


def end(session: Session, store: Reach, named: tuple[str, str], because: str) -> None:
    """The line is open again."""
    ops = ChecklistOps(store, Operator(session.who, perms="admin", how="cli"))
    session.printer.say(f"{ops.end_waiver(*named, reason=because).said}.")


def _span(session: Session, text: str) -> int:
    try:
        return microseconds(text, what="--until", zero_ok=False)
    except InvalidDuration:
        try:
            at = parse_instant(text, utc=session.utc).timestamp()
        except ValueError as error:
            raise click.UsageError(
                f"--until {text!r} is neither a span as 90d, nor an instant: {error}."
            ) from None
    if at <= time.time():
        raise click.UsageError(f"--until {text} is in the past.")
    return round((at - time.time()) * 1e6)
