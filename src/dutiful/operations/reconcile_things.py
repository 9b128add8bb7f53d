"""What reconciliations say to the verdict: what is missing, what is done twice, what nobody could check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from ..model.spans import span
from ..model.verdict import SILENT_PERIODS, Name, Thing, Watch
from .plan import Row

WATCHER = "reconcilers"
SUMS: Mapping[Name, str] = {"lost": "reconciled_missing", "doubled": "reconciled_extra"}
STALE = 2
"""Without a whole pass for so many of its periods a reconciliation is dead."""


@dataclass
class Reconciled:
    """The part of the verdict's look that reconciliations answer for."""

    things: list[Thing] = field(default_factory=list)
    watch: Watch = field(default_factory=lambda: Watch(WATCHER, 0, None, needed=False))
    unread: str = ""
    facts: dict[str, int | None] = field(default_factory=dict)
    tasks: set[str] = field(default_factory=set)
    task_of: dict[str, str] = field(default_factory=dict)
    """The task of each thing, whose owner is the thing's."""


def judged(rows: Sequence[Row], now: int) -> Reconciled:
    """By the rows of ``reconcile_numbers``."""
    found = Reconciled()
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row[0], []).append(row)
        found.tasks.add(row[1])
    sums = dict.fromkeys(("reconciled_missing", "reconciled_extra", "reconciled_repaired"), 0)
    watches, failed = [], []
    for name, ones in by_name.items():
        _, _, _, whole, _, _, whole_at, error, *_ = ones[0]
        # The verdict takes a watcher for silent after three periods; this one is after two of its own.
        period = STALE * whole // SILENT_PERIODS
        watches.append(Watch(WATCHER, period, None if whole_at is None else max(0, now - whole_at), name))
        if error is not None:
            failed.append(f"reconcile {name} could not check ({_short(error)})")
        for thing in _things(name, ones):
            found.things.append(thing)
            found.task_of[thing.key] = ones[0][1]
            if thing.number in SUMS:
                sums[SUMS[thing.number]] += thing.amount
        sums["reconciled_repaired"] += sum(int(row[16]) for row in ones)
    if watches:
        found.watch = max(watches, key=_age)
    found.unread = " and ".join(failed)
    found.facts = {**sums, "reconcilers": len(by_name), "reconciled_tasks": len(found.tasks)}
    return found


def unchecked(tasks: int, covered: int) -> str:
    """What nobody compares with the business data, in words; "" if all is."""
    if tasks <= covered and tasks:
        return ""
    return "reconcilers" if not covered else f"the business data of {tasks - covered} of {tasks} tasks"


def waived(declared: str) -> bool:
    """Whether a task's declaration says why nothing reconciles it."""
    if '"unreconciled":"' not in declared:  # most of them: not worth reading
        return False
    return bool(msgspec.json.decode(declared).get("unreconciled"))


def _things(name: str, rows: Sequence[Row]) -> list[Thing]:
    by_class = {row[10]: (int(row[11]), row[12]) for row in rows if row[10] is not None and row[11]}
    lost = [kind for kind in ("missing", "late") if kind in by_class]
    missing = [by_class[kind] for kind in lost]
    surplus, people = by_class.get("surplus"), by_class.get("people")
    attend = rows[0][17]
    stopped, undone, run = rows[0][9], (rows[0][13] or 0) - (rows[0][14] or 0), rows[0][15]
    found = []
    amount = sum(count for count, _ in missing)
    since = min((at for _, at in missing if at is not None), default=None)
    if stopped is not None and run is not None:
        amount = max(amount, undone)
        said = (
            f"reconcile {name}: {_duties(amount)} missing, far more than usual, so that the governor stopped"
        )
        found.append(_thing(name, "lost", said, amount, since, f"dutiful reconcile --approve {run}"))
    elif amount:
        said = f"reconcile {name}: {_duties(amount)} missing"
        found.append(
            _thing(name, "lost", said, amount, since, f"dutiful reconcile {name} --dry-run", lost[0])
        )
    if surplus is not None:
        said = f"reconcile {name}: {_duties(surplus[0])} done twice, or done and not expected"
        found.append(
            _thing(
                name,
                "doubled",
                said,
                surplus[0],
                surplus[1],
                f"dutiful reconcile {name} --dry-run",
                "surplus",
            )
        )
    if people is not None and attend is not None:
        waits = "waits" if people[0] == 1 else "wait"
        said = (
            f"reconcile {name}: {_duties(people[0])} {waits} for a person for longer than {span(int(attend))}"
        )
        found.append(_thing(name, "late", said, *people, "dutiful reconcile --list", "people"))
    return found


def _thing(
    name: str, number: Name, said: str, amount: int, since: int | None, command: str, kind: str = ""
) -> Thing:
    key = f"reconcile:{name}" if number == "lost" else f"reconcile:{name}:{kind}"
    link = f"reconcile/{quote(name, safe='')}" + (f"?class={kind}" if kind else "")
    return Thing(key, number, said, amount, amount, since, "", link, command)


def _age(one: Watch) -> tuple[bool, float]:
    """The one that is nearest to being silent, or the longest so, comes last."""
    return one.age_us is None, 0.0 if one.age_us is None else one.age_us / max(1, one.period_us)


def _duties(count: int) -> str:
    return "1 duty" if count == 1 else f"{count:,} duties"


def _short(error: str) -> str:
    line = " ".join(error.split())
    return line if len(line) <= 120 else line[:117] + "…"
