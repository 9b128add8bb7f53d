"""The checklist as the page shows it: a row for each task, a cell for each line; of one task all words."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

from msgspec import Struct

from ...check.catalogue import all_rules
from ...check.hashing import Hashes
from ...model.answers import Cell, Facts, Waived
from ...model.checklist import LINES, Sum, checklist, summed
from ...operations import checklist as checklists
from ...operations import drills
from ...operations.drills import Drill
from ..asking import Ask
from ..site import Site

DRILLS = 10
SUM_S = 10.0
"""Home asks for the sum, and is looked at all the time."""


class Head(Struct, frozen=True):
    """A column."""

    name: str
    title: str
    asks: str


class LineCell(Struct, frozen=True):
    """A line of one task, with the rule of check that is nearest to it."""

    line: str
    title: str
    asks: str
    state: str
    said: str
    sign: str
    words: str
    fix: str
    rule: str
    why: str
    waiver: Waived | None
    waived: bool
    """Whether a person's waiver holds, which a person may end."""


class CheckRow(Struct, frozen=True):
    """One task in the matrix."""

    name: str
    cells: list[LineCell]


class Matrix(Struct, frozen=True):
    """All of it; ``sum`` is over all tasks, also those of other pages."""

    heads: list[Head]
    rows: list[CheckRow]
    sum: Sum
    code: bool
    """Whether it is known of every drill if it is of the code that runs."""


class DrillRow(Struct, frozen=True):
    """A drill that is kept; ``changed``: the code is another one now, None where that is not known."""

    drill: Drill
    changed: bool | None
    failed: int


_SUMS: WeakKeyDictionary[Site, tuple[float, Sum]] = WeakKeyDictionary()
_CODES: WeakKeyDictionary[Site, dict[str, str]] = WeakKeyDictionary()


def codes_of(site: Site) -> Mapping[str, str]:
    """The hashes of this process's tasks, by name; read once, for the code of a process stays as it is.

    They stand in where no worker has said its own.
    """
    found = _CODES.get(site)
    if found is None:
        hashes = Hashes()
        found = {name: hashes.of(task.function) for name, task in site.tasks.items()}
        _CODES[site] = found
    return found


def matrix(ask: Ask, shown: Sequence[str]) -> Matrix:
    """The checklist of all tasks; the rows of those that are shown."""
    known = {one.task: one for one in _facts(ask)}
    found = {name: checklist(one) for name, one in known.items()}
    rows = [_row(known[name], found[name]) for name in shown if name in found]
    code = not any(one.drill is not None and one.drill.changed is None for one in known.values())
    heads = [Head(one.name, one.title, one.asks) for one in LINES.values()]
    return Matrix(heads, rows, summed(list(found.values())), code)


def checks(ask: Ask) -> Sum:
    """How it stands, over all tasks, at most ``SUM_S`` old."""
    kept = _SUMS.get(ask.site)
    if kept is None or time.monotonic() - kept[0] >= SUM_S:
        kept = time.monotonic(), summed([checklist(one) for one in _facts(ask)])
        _SUMS[ask.site] = kept
    return kept[1]


def of_task(ask: Ask, name: str) -> list[LineCell]:
    """All lines of one task."""
    facts = _facts(ask, name)
    return _row(facts[0], checklist(facts[0])).cells if facts else []


def drills_of(ask: Ask, name: str, running: str) -> list[DrillRow]:
    """Its last drills; ``running`` is the hash of the code that a worker said, "" if none did."""
    code = running or codes_of(ask.site).get(name)
    found = ask.run(drills.of(ask.site.name, name, limit=DRILLS))
    return [DrillRow(one, one.changed(code), sum(bad for _, bad in one.played.values())) for one in found]


def _facts(ask: Ask, name: str | None = None) -> list[Facts]:
    return ask.run(checklists.facts(ask.site.name, name, codes=codes_of(ask.site), running=True))


def _row(facts: Facts, cells: Sequence[Cell]) -> CheckRow:
    rules = all_rules()
    return CheckRow(
        facts.task,
        [
            LineCell(
                line=cell.line,
                title=LINES[cell.line].title,
                asks=LINES[cell.line].asks,
                state=cell.state,
                said=cell.said,
                sign=cell.sign,
                words=cell.words,
                fix=cell.fix,
                rule=LINES[cell.line].rule,
                why=rules[rule].why if (rule := LINES[cell.line].rule) else "",
                waiver=cell.waiver,
                waived=_ends(cell.waiver, facts.now_us),
            )
            for cell in cells
        ],
    )


def _ends(waiver: Waived | None, now_us: int) -> bool:
    return waiver is not None and waiver.until_us is not None and waiver.holds(now_us)
