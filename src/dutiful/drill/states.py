"""What a scenario leaves behind, in a form in which two ends can be compared.

Numbers that a database gave (surrogate keys) are replaced by their order, in their own table and where a
foreign key names them: a rerun may skip some. Columns that differ between two undisturbed runs are volatile,
and masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .provider import Call

Row = tuple[Any, ...]
Volatile = frozenset[tuple[str, str]]
MASKED = "(volatile)"


@dataclass
class Table:
    """One table of the user's: its rows, and what of its schema a comparison needs."""

    name: str
    columns: list[str]
    key: list[str]
    serial: str | None = None
    """The column of a single whole-number primary key, which the database may have given."""
    references: dict[str, str] = field(default_factory=dict)
    """Columns of single foreign keys, with the table that they name."""
    rows: list[Row] = field(default_factory=list)

    def by_key(self) -> dict[Row, Row]:
        """Rows by their primary key; empty without one."""
        at = [self.columns.index(name) for name in self.key]
        return {tuple(row[n] for n in at): row for row in self.rows} if at else {}


@dataclass
class State:
    """The end of one scenario."""

    tables: dict[str, Table]
    jobs: Counter[str]
    """What bodies enqueued, as "task(arguments) key"."""
    effects: list[Call] = field(default_factory=list)
    clashes: list[Call] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    status: str = "done"
    """What became of the job: done, dead, in_doubt, or why it did not end."""
    why: str = ""
    begins: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which an end is not the reference's. ``more``: how many there are too many, or too few."""

    what: str
    """rows, values, jobs, effects, files, status, key"""
    where: str
    words: str
    more: int = 0


def canonical(state: State, start: Mapping[str, Table], volatile: Volatile) -> dict[str, Counter[Row]]:
    """Rows of each table, with surrogate keys by order and volatile columns masked."""
    labels: dict[str, dict[Any, str]] = {}
    for table in state.tables.values():
        if table.serial is None:
            continue
        at = table.columns.index(table.serial)
        old = {row[at] for row in start[table.name].rows} if table.name in start else set()
        fresh = [row for row in table.rows if row[at] not in old]
        fresh.sort(key=lambda row: (repr(_masked(table, row, volatile, {}, hide={at})), row[at]))
        labels[table.name] = {row[at]: f"#{number}" for number, row in enumerate(fresh, 1)}
    return {
        table.name: Counter(_masked(table, row, volatile, labels) for row in table.rows)
        for table in state.tables.values()
    }


def _masked(
    table: Table,
    row: Row,
    volatile: Volatile,
    labels: Mapping[str, Mapping[Any, str]],
    hide: Iterable[int] = (),
) -> Row:
    shown = []
    for at, (name, value) in enumerate(zip(table.columns, row, strict=True)):
        named = table.name if name == table.serial else table.references.get(name)
        if at in hide or (table.name, name) in volatile:
            shown.append(MASKED)
        elif named is not None and (label := labels.get(named, {}).get(value)) is not None:
            shown.append(label)
        else:
            shown.append(repr(value))
    return tuple(shown)


def volatile_of(one: State, two: State, start: Mapping[str, Table]) -> Volatile | None:
    """The columns in which two undisturbed runs differ; None if more than that differs."""
    found: set[tuple[str, str]] = set()
    for name, table in one.tables.items():
        other = two.tables.get(name)
        if other is None or len(other.rows) != len(table.rows):
            return None
    for _ in range(3):
        first, second = canonical(one, start, frozenset(found)), canonical(two, start, frozenset(found))
        before = len(found)
        for name, rows in first.items():
            if rows == second[name]:
                continue
            table = one.tables[name]
            for at, column in enumerate(table.columns):
                if _column(rows, at) != _column(second[name], at):
                    found.add((name, column))
        if len(found) == before:
            break
    same = canonical(one, start, frozenset(found)) == canonical(two, start, frozenset(found))
    return frozenset(found) if same else None


def _column(rows: Counter[Row], at: int) -> Counter[Any]:
    return Counter({value: n for value, n in _pairs(rows, at)})


def _pairs(rows: Counter[Row], at: int) -> Iterable[tuple[Any, int]]:
    counts: dict[Any, int] = {}
    for row, n in rows.items():
        counts[row[at]] = counts.get(row[at], 0) + n
    return counts.items()


def differences(
    state: State, reference: State, start: Mapping[str, Table], volatile: Volatile
) -> list[Difference]:
    """In what an end is not the reference's; empty if it is."""
    return [
        *table_differences(state, reference, start, volatile),
        *_jobs(state, reference),
        *effect_differences(state.effects, reference.effects),
        *_files(state, reference),
    ]


def table_differences(
    state: State, reference: State, start: Mapping[str, Table], volatile: Volatile
) -> list[Difference]:
    """The tables' part of it."""
    found = []
    mine, theirs = canonical(state, start, volatile), canonical(reference, start, volatile)
    for name in sorted(mine.keys() | theirs.keys()):
        ours, wanted = mine.get(name, Counter()), theirs.get(name, Counter())
        if ours == wanted:
            continue
        have, want = ours.total(), wanted.total()
        if have != want:
            extra = next(iter((ours - wanted) or (wanted - ours)), ())
            words = f"{name} {want} → {have} rows   [{_row(state, name, extra)}]"
            found.append(Difference("rows", name, words, have - want))
        else:
            found.append(Difference("values", name, _values(state, name, ours - wanted, wanted - ours)))
    return found


def _row(state: State, name: str, row: Row) -> str:
    table = state.tables.get(name)
    if table is None:
        return ""
    pairs = zip(table.columns, row, strict=False)
    return ", ".join(f"{column}={value}" for column, value in pairs if value != MASKED)[:120]


def _values(state: State, name: str, ours: Counter[Row], wanted: Counter[Row]) -> str:
    table = state.tables[name]
    is_, should = next(iter(ours)), next(iter(wanted))
    changed = [
        f"{column} {b} → {a}" for column, a, b in zip(table.columns, is_, should, strict=True) if a != b
    ]
    same = [
        f"{column}={a}" for column, a, b in zip(table.columns, is_, should, strict=True) if a == b != MASKED
    ]
    return f"{name}: {', '.join(changed)}   [{', '.join(same)[:80]}]"


def _jobs(state: State, reference: State) -> list[Difference]:
    found = []
    for job in sorted(state.jobs.keys() | reference.jobs.keys()):
        have, want = state.jobs[job], reference.jobs[job]
        if have != want:
            found.append(Difference("jobs", job, f"{job} enqueued {want} → {have} times", have - want))
    return found


def effect_differences(ours: list[Call], wanted: list[Call]) -> list[Difference]:
    """Effects by what they did, whatever key they went by."""
    mine, theirs = Counter(_bare(call) for call in ours), Counter(_bare(call) for call in wanted)
    found = []
    for call in sorted(mine.keys() | theirs.keys()):
        if mine[call] != theirs[call]:
            name, body = call
            words = f"{name} took effect {theirs[call]} → {mine[call]} times   [{body[:60]}]"
            found.append(Difference("effects", name, words, mine[call] - theirs[call]))
    return found


def _bare(call: Call) -> tuple[str, str]:
    return call.name, call.body


def _files(state: State, reference: State) -> list[Difference]:
    return [
        Difference("files", path, f"{path} holds something else")
        for path in sorted(state.files.keys() | reference.files.keys())
        if state.files.get(path) != reference.files.get(path)
    ]
