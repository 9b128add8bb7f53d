"""The checklist, task by task: for each line what is known, how it is known, and what to do.

A pure function over facts that were read. A cell is green only where something was seen: *observed* in the
records of real runs, or *drilled* with the code as it is now. What is only *declared* is half; what nobody
can tell from the records is *not known*, never well. A person may waive a line, with a reason, until a day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from .answers import OPEN, Cell, Facts, Line, Said, Waived
from .spans import ago, span

DRILL: Final = "dutiful drill MODULE:TASK --fixture FILE.sql"


def checklist(facts: Facts) -> list[Cell]:
    """All lines of a task, in order."""
    cells = []
    for line, judge in JUDGES.items():
        state, words, fix = judge(facts)
        waiver = facts.waivers.get(line)
        cell = Cell(line, state, words, fix)
        if line == "reconciled" and state == "missing" and (because := facts.declared.get("unreconciled")):
            waiver = Waived(facts.owner, "the code", str(because), None)
        cells.append(_waived(cell, waiver, facts.now_us))
    return cells


def _waived(cell: Cell, waiver: Waived | None, now_us: int) -> Cell:
    if waiver is None:
        return cell
    if not waiver.holds(now_us):
        lapsed = f"{cell.words} A waiver lapsed {ago(waiver.until_us or 0, now_us)}."
        return replace(cell, words=lapsed, waiver=waiver)
    if cell.state not in OPEN:
        return replace(cell, waiver=waiver)
    until = "" if waiver.until_us is None else f", for {span(waiver.until_us - now_us)} more"
    owner = f"; {waiver.owner} answers for it" if waiver.owner else ""
    words = f"Waived by {waiver.by}{until}{owner}: {waiver.reason.rstrip('.')}. Without that: {cell.words}"
    return replace(cell, state="waived", words=words, waiver=waiver)


# ── the lines ───────────────────────────────────────────────────────────────────────────────


def _drilled(facts: Facts, *kinds: str) -> Said | None:
    """What the last drill says, if it played these kinds of scenarios and found nothing in them."""
    drill = facts.drill
    if drill is None or drill.outcome == "not comparable":
        return None
    shown = [drill.played.get(kind, (0, 0)) for kind in kinds]
    if not all(played and not failed for played, failed in shown):
        return None
    count = _many(sum(played for played, _ in shown), "scenario")
    words = f"Drilled {ago(drill.at_us, facts.now_us)}: {count} of {', '.join(kinds)}, nothing found"
    if drill.changed is None:
        return "unknown", f"{words}; whether the code changed since is not known here.", DRILL
    if drill.changed:
        return "declared", f"{words}; the code changed since.", DRILL
    return "drilled", f"{words}, and the code is the same.", ""


def _one_commit(facts: Facts) -> Said:
    """An exactly_once task: its work and its proof are one commit."""
    if facts.ledger == "work":
        return "observed", "Its work and the proof of it are one commit; the ledger has such.", ""
    return "declared", 'delivery="exactly_once"; no run of it is in the ledger yet.', "run it once"


def _one_start(facts: Facts) -> Said:
    """An at_most_once task: its start is stored before it begins."""
    if facts.ledger == "start":
        return "observed", "Each start is stored before the body begins; the ledger has such.", ""
    return "declared", 'delivery="at_most_once"; no start of it is in the ledger yet.', "run it once"


def _idempotent(facts: Facts) -> Said:
    drill = facts.drill
    if drill is not None:
        when = f"Drilled {ago(drill.at_us, facts.now_us)}"
        if drill.outcome == "findings":
            since = "; the code changed since" if drill.changed else ""
            words = f"{when}: {_many(drill.findings, 'finding')}{since}."
            return "missing", words, "mend what its last drill found, then drill it again"
        if drill.outcome == "not comparable":
            return "missing", f"{when}, and its ends could not be compared: {drill.why}", DRILL
        clean = _drilled(facts, "X1", "X3")
        if clean is not None and clean[0] == "drilled":
            return clean
    if facts.delivery == "exactly_once":
        return _one_commit(facts)
    if facts.delivery == "at_most_once":
        return _one_start(facts)
    if drill is not None:
        words = "Its drill left out what is run twice (X1), or cut off (X3)."
        return _drilled(facts, "X1", "X3") or ("missing", words, DRILL)
    return "missing", "It may run again after a crash, and nobody has drilled it.", DRILL


def _key(facts: Facts) -> Said:
    once = facts.declared.get("once")
    if once is None and facts.scheduled:
        return "observed" if facts.duties else "declared", "Each occurrence has a key of its own.", ""
    if once is None:
        return "missing", "Two enqueues of one thing are two jobs.", 'once="…:{id}"'
    if not facts.duties:
        return "declared", f'once="{once}"; no duty of it is kept yet.', ""
    repeats = f"; {_many(facts.duplicates, 'repeat')} blocked of late" if facts.duplicates else ""
    return "observed", f'once="{once}"; duties are kept under it{repeats}.', ""


def _locks(facts: Facts) -> Said:
    kinds = [one for one in ("lock", "order") if facts.declared.get(one)]
    if kinds:
        words = f"{' and '.join(f'{one}=' for one in kinds)} lets one of a key run at a time"
        if facts.gated:
            return "observed", f"{words}; {_many(facts.gated, 'job')} came through of late.", ""
        return "declared", f"{words}; none came through of late.", ""
    if facts.delivery == "exactly_once":
        return _one_commit(facts)
    if facts.delivery == "at_most_once":
        return _one_start(facts)
    drilled = _drilled(facts, "X2", "X5")
    fix = f'lock="…:{{id}}", delivery="exactly_once", or {DRILL}'
    return drilled or ("missing", "Nothing shows that two runs at once do no harm.", fix)


def _retries(facts: Facts) -> Said:
    if facts.delivery == "at_most_once":
        return "na", "at_most_once: it is never run again.", ""
    times = facts.declared.get("retry")
    if times is None:
        return "unknown", "The release that runs it does not say its retries.", ""
    words = "retry=0: what fails is dead at once" if times == 0 else f"Tried again {times} times at most"
    if facts.failed:
        return "observed", f"{words}; {_many(facts.failed, 'try', 'tries')} failed of late.", ""
    return "declared", f"{words}; none failed of late.", ""


def _timeout(facts: Facts) -> Said:
    limit = facts.declared.get("timeout_us")
    if limit is None:
        return "missing", "A call that hangs keeps its slot.", 'timeout="20s"'
    words = f"Cut off after {span(limit)}"
    if facts.done:
        return "observed", f"{words}; {_many(facts.done, 'run')} ended within it of late.", ""
    return "declared", f"{words}; none ran of late.", ""


def _queue(facts: Facts) -> Said:
    where = f"Queue {facts.queue}, priority {facts.declared.get('priority', 0)}"
    if facts.target_us is None:
        fix = f'app.queue("{facts.queue}", target="2m")'
        return "declared", f"{where}; no worker has said how long its jobs may wait.", fix
    if facts.sampled_us is None:
        return "declared", f"{where}, target {span(facts.target_us)}; it is not watched yet.", ""
    seen = ago(facts.sampled_us, facts.now_us)
    return "observed", f"{where}, target {span(facts.target_us)}; the sampler looked {seen}.", ""


def _transactions(facts: Facts) -> Said:
    if facts.delivery == "exactly_once":
        return _one_commit(facts)
    words = "Whether it writes more than once, and in one transaction, the records do not show."
    return _drilled(facts, "X3", "X4") or ("unknown", words, f'delivery="exactly_once", or {DRILL}')


def _dead(facts: Facts) -> Said:
    are = f"{_many(facts.dead, 'job')} {'is' if facts.dead == 1 else 'are'} dead"
    if facts.unseen:
        words = f"{are}, of {_many(facts.unseen, 'cause')} that nobody has seen."
        return "missing", words, "dutiful dead groups --unseen"
    if facts.dead:
        return "observed", f"{are}, of causes that somebody has seen.", ""
    if facts.done or facts.failed:
        return "observed", "It runs, and none is dead.", ""
    return "declared", "What dies is kept until a person closes it; none ran of late.", ""


def _reconciled(facts: Facts) -> Said:
    if facts.delivery == "at_most_once" and not facts.reconciled:
        return "na", "at_most_once: what is not done waits for a person, not for a repair.", ""
    if not facts.reconciled:
        words = "Nothing compares the business data with what was done."
        return "missing", words, 'app.reconcile(task, expected="SELECT …")'
    for one in facts.reconciled:
        if one.trouble or one.open:
            what = one.trouble or f"{one.open:,} open findings"
            return "missing", f"{one.name}: {what}.", f"dutiful reconcile {one.name} --dry-run"
    looked = [one for one in facts.reconciled if one.looked_us is not None]
    if not looked:
        return "declared", f"{facts.reconciled[0].name} has not looked yet.", "dutiful reconcile"
    last = max(looked, key=lambda one: one.looked_us or 0)
    return "observed", f"{last.name} looked {ago(last.looked_us or 0, facts.now_us)}: all in order.", ""


def _outside(facts: Facts) -> Said:
    if facts.delivery == "at_most_once":
        return _one_start(facts)
    if facts.effects:
        return "observed", "Its calls to the world outside are written down before they are made.", ""
    fix = 'run.effect("name", call, …)'
    drill = facts.drill
    if drill is not None and drill.calls == 0 and drill.outcome == "clean" and drill.changed is False:
        return "na", "Its drill saw no call to the world outside, and the code is the same.", ""
    words = "Whether it calls the world outside without an effect, the records do not show."
    return _drilled(facts, "X10") or ("unknown", words, fix)


def _order(facts: Facts) -> Said:
    if facts.declared.get("order"):
        if facts.gated:
            return "observed", f"order=; {_many(facts.gated, 'job')} came through in turn of late.", ""
        return "declared", "order=; none came through of late.", ""
    words = "No order is declared; whether its jobs may overtake each other, the records do not show."
    fix = 'order="…:{id}", or drill it with --sibling'
    return _drilled(facts, "X8") or ("unknown", words, fix)


def _late(facts: Facts) -> Said:
    late = facts.declared.get("late")
    target = "" if facts.target_us is None else f" Its queue's target is {span(facts.target_us)}."
    if late is None:
        words = f"A month late it runs as if nothing had happened.{target}"
        return "missing", words, 'late=Late("1d", then="skip")'
    if count := facts.skipped + facts.stale:
        return "observed", f"Too late is decided; {_many(count, 'job')} came too late of late.", ""
    return "declared", "Too late is decided; none came too late of late.", ""


def _supervised(facts: Facts) -> Said:
    if not facts.owner:
        return "missing", "Nobody owns it: whom does an alert name?", 'owner="…"'
    if facts.workers:
        here = "1 live worker knows" if facts.workers == 1 else f"{facts.workers} live workers know"
        return "observed", f"{facts.owner} owns it; {here} it.", ""
    return "declared", f"{facts.owner} owns it; no live worker knows it.", ""


def _many(count: int, word: str, many: str = "") -> str:
    return f"1 {word}" if count == 1 else f"{count:,} {many or word + 's'}"


_TABLE: Final[tuple[tuple[Line, Callable[[Facts], Said]], ...]] = (
    (Line("idempotent", "Idempotent", "Performed twice, is the end the same?", "DU001"), _idempotent),
    (Line("key", "Key", "Enqueued twice, is it one job?", "DU016"), _key),
    (Line("locks", "Locks", "Do two runs at once do no harm?", "DU033"), _locks),
    (Line("retries", "Retries", "Is it decided how often it is tried again?", "DU026"), _retries),
    (Line("timeout", "Timeout", "Is a run that hangs cut off?", "DU041"), _timeout),
    (Line("queue", "Queue", "Has it the right queue and priority?", "DU037"), _queue),
    (Line("transactions", "Transaction", "Are its writes all or nothing?", "DU007"), _transactions),
    (Line("dead", "Dead jobs", "Does somebody look at what failed?", "DU010"), _dead),
    (
        Line("reconciled", "At least once", "Is what was done compared with what is due?", "DU030"),
        _reconciled,
    ),
    (Line("outside", "At most once", "Are calls to the world outside made once?", "DU004"), _outside),
    (Line("order", "Order", "Do jobs of one thing run in order?", "DU028"), _order),
    (Line("late", "Late", "What if it runs a month late?", "DU027"), _late),
    (Line("supervised", "Supervision", "Who sees to it?", ""), _supervised),
)

LINES: Final[Mapping[str, Line]] = {line.name: line for line, _ in _TABLE}
"""In the order of the product's checklist."""
JUDGES: Final[Mapping[str, Callable[[Facts], Said]]] = {line.name: judge for line, judge in _TABLE}


class Sum(Struct, frozen=True):
    """How many tasks pass, and how many cells fail or are waived."""

    tasks: int
    passing: int
    failing: int
    checks: int
    waived: int


def summed(rows: Sequence[Sequence[Cell]]) -> Sum:
    """Over all tasks: one fails where a line is missing and not waived."""
    missing = [sum(cell.state == "missing" for cell in row) for row in rows]
    waived = sum(cell.state == "waived" for row in rows for cell in row)
    failing = sum(bool(one) for one in missing)
    return Sum(len(rows), len(rows) - failing, failing, sum(missing), waived)
