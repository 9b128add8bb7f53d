"""Watches the operations of a real store, and holds what each did to jobs against the model's relation.

Before and after each operation it looks at all rows of jobs, through a connection of its own. Every job
that changed must have made one step of :mod:`tests.protocol.relation`, by a verb that this operation
may carry out; a worker's verb must have been given the token, a lapse needs a worker who is marked
gone, a person's verb an audit row. What cannot be watched (operations at the same time, large tables, a
store that is closed) is counted and let go.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from dutiful.model.states import VERBS
from dutiful.operations.plan import Call, Load, Operation
from tests.protocol.relation import Look, objections, same

JOBS_MAX = 60
"""With that many rows in a table, looking would cost more than the tests themselves."""

ENDINGS = {"complete", "duplicate", "fail", "bury", "snooze", "release", "abort", "doubt", "skip", "expire"}
REPORTS = {"report", "report_failed"}
LAPSES = {"lapse", "lapse_last", "lapse_in_doubt"}
PEOPLE = {verb for verb, transition in VERBS.items() if transition.by == "person"}

CARRIED_OUT_BY: dict[str, set[str]] = {
    "claim": {"claim"},
    "claim_suspect": {"claim"},
    "one": {"enqueue"},
    "many": {"enqueue"},
    "load": {"enqueue"},
    **{name: {"enqueue"} for name in ("declare", "adopt", "fire", "run")},  # schedules
    "lapse": LAPSES,
    "report_dead": LAPSES,
    "leave": LAPSES,
    "prune": {"prune"},
} | {verb: {verb} for verb in PEOPLE}
"""What an operation may do to jobs; one that is not named here may do what workers do to their runs."""

LOOK = f"""
SELECT 1, CAST(id AS text), state, NULL, CAST(token AS text), CAST(last_token AS text), run_no, attempt,
       crashes, epoch, delivery, started_at, worker, 0, cancel_at
  FROM (SELECT * FROM dutiful.job LIMIT {JOBS_MAX}) AS j
UNION ALL
SELECT 2, CAST(id AS text), 'dead', NULL, NULL, CAST(last_token AS text), run_no, attempt,
       crashes, epoch, delivery, started_at, NULL, 0, NULL
  FROM (SELECT * FROM dutiful.dead LIMIT {JOBS_MAX}) AS d
UNION ALL
SELECT 3, CAST(id AS text), state, outcome, NULL, CAST(last_token AS text), run_no, attempt,
       crashes, epoch, delivery, started_at, NULL, finished_at, NULL
  FROM (SELECT * FROM dutiful.history LIMIT {JOBS_MAX}) AS h
UNION ALL
SELECT 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, id, 0, NULL
  FROM dutiful.worker WHERE gone_at IS NULL
UNION ALL
SELECT 5, NULL, NULL, NULL, NULL, NULL, count(*), NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL
  FROM dutiful.audit
"""


@dataclass
class Params:
    """What the statements of an operation were given."""

    text: str = ""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Rows of a batch, by the token in them."""
    known: bool = True

    def note(self, step: Call | Load) -> None:
        if isinstance(step, Load):
            return
        self.text += str(step.params).replace("-", "")
        for value in step.params.values():
            if isinstance(value, str) and value.startswith("[{"):
                self.rows.update({_hex(row.get("token")): row for row in json.loads(value)})

    def have(self, token: object) -> bool:
        return not self.known or _hex(token) in self.text

    def named(self, verbs: list[str], a: Look | None) -> str:
        """Of several ways back to ready, the one that was meant."""
        row = self.rows.get(_hex(a.token)) if a is not None else None
        if len(verbs) > 1 and row is not None and "kind" in row:
            meant = "fail" if row["kind"] is not None else "release" if row["delay"] is None else "snooze"
            return meant if meant in verbs else "/".join(sorted(verbs))
        return "/".join(sorted(verbs))


class Watched(Protocol):
    """What the recorder needs of a test's world."""

    engine: Any

    def run(self, operation: Operation[Any]) -> Any: ...

    def sql(self, text: str, *params: object) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class Seen:
    """All jobs at one moment, and what else the guards ask for."""

    jobs: dict[str, Look]
    workers: dict[str, object]
    alive: frozenset[object]
    audits: int


@dataclass
class Recorder:
    """What was seen so far: how often each verb, and every change that no verb explains."""

    verbs: Counter[str] = field(default_factory=Counter)
    illegal: list[str] = field(default_factory=list)
    unwatched: Counter[str] = field(default_factory=Counter)
    _running: int = 0
    _crossed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, world: Any) -> None:
        """From now on, each operation that the :class:`Watched` world runs is looked at."""
        run = world.run
        world.run = lambda operation: self._run(world, run, operation)

    def _run(self, world: Watched, run: Callable[[Operation[Any]], Any], operation: Operation[Any]) -> Any:
        if operation.reads:
            return run(operation)
        with self._alone() as alone:
            before = self._look(world) if alone() else None
            with _given(world.engine) as params:
                try:
                    return run(operation)
                finally:
                    after = self._look(world) if before is not None else None
                    if before is None or after is None or not alone():
                        self.unwatched[operation.name] += 1
                    else:
                        self._compare(operation.name, before, after, params)

    @contextmanager
    def _alone(self) -> Iterator[Callable[[], bool]]:
        """Says whether no other operation was under way meanwhile: else nobody knows who did what."""
        with self._lock:
            self._running += 1
            self._crossed = self._crossed or self._running > 1
        try:
            yield lambda: not self._crossed
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._crossed = False

    def _look(self, world: Watched) -> Seen | None:
        try:
            rows = world.sql(LOOK)
        except Exception:  # the test stopped the store, or changed its tables: not for us to judge
            return None
        places = Counter(row[0] for row in rows)
        if max(places[place] for place in (1, 2, 3)) >= JOBS_MAX:
            return None
        seen = Seen({}, {}, frozenset(row[12] for row in rows if row[0] == 4), _audits(rows))
        for row in sorted((row for row in rows if row[0] < 4), key=lambda row: (row[0], -row[13])):
            if row[1] not in seen.jobs:  # live before dead, dead before the latest ending
                flags = (row[10] == "at_most_once", row[11] is not None, row[14] is not None)
                seen.jobs[row[1]] = Look._make([*row[2:10], *flags])
                seen.workers[row[1]] = row[12]
        return seen

    # ── judging ─────────────────────────────────────────────────────────────────────────────

    def _compare(self, name: str, before: Seen, after: Seen, params: Params) -> None:
        for job in before.jobs.keys() | after.jobs.keys():
            a, b = before.jobs.get(job), after.jobs.get(job)
            if same(a, b):
                continue
            allowed = CARRIED_OUT_BY.get(name, ENDINGS | REPORTS | {"start"})
            against = {
                verb: (objections(verb, a, b), guards(verb, a, job, before, after, params))
                for verb in allowed
            }
            verbs = [verb for verb, reasons in against.items() if not any(reasons)]
            if verbs:
                self.verbs[params.named(verbs, a)] += 1
                continue
            near, reasons = min(against.items(), key=lambda item: _distance(item[1][0]))
            because = "; ".join([*reasons[0], *reasons[1]])
            self.illegal.append(f"{name}: {_changes(a, b)}; nearest: {near}, but {because}")


TOTALS: Counter[str] = Counter()
"""How often each verb was seen by this process."""


@contextmanager
def recorded(world: Any) -> Iterator[None]:
    """Within, the world's operations are watched; at the end all of their steps must have been legal."""
    recorder = Recorder()
    recorder.watch(world)
    try:
        yield
    finally:
        TOTALS.update(recorder.verbs)
        TOTALS.update({f"unwatched {name}": count for name, count in recorder.unwatched.items()})
    assert not recorder.illegal, "not in the model:\n" + "\n".join(recorder.illegal)


@atexit.register
def _write_totals() -> None:
    """``DUTIFUL_RECORDED=FILE pytest tests/contract``: a line of JSON for each process."""
    path = os.environ.get("DUTIFUL_RECORDED")
    if path and TOTALS:
        with open(path, "a") as file:
            print(json.dumps(TOTALS), file=file)


def _audits(rows: list[tuple[Any, ...]]) -> int:
    [count] = [row[6] for row in rows if row[0] == 5]
    return int(count)


def _distance(reasons: list[str]) -> tuple[bool, int]:
    """How far a change is from a verb: other states are further than other columns."""
    return any(why.startswith("not ") for why in reasons), len(reasons)


def _changes(a: Look | None, b: Look | None) -> str:
    """What became of a job, in words."""
    if a is None or b is None:
        return f"{a} became {b}"
    changed = [
        f"{name} {was} to {now}" for name, was, now in zip(Look._fields, a, b, strict=True) if was != now
    ]
    return f"a job that was {a.state}: {', '.join(changed)}"


def _hex(token: object) -> str:
    return str(token).replace("-", "")


def guards(verb: str, a: Look | None, job: str, before: Seen, after: Seen, params: Params) -> list[str]:
    """What the table says beyond the columns: the fence, the marked worker, the audit."""
    if verb in PEOPLE and after.audits <= before.audits:
        return ["no audit row"]
    if a is None:
        return []
    if verb in ENDINGS | {"start"} and not params.have(a.token):
        return ["the operation was not given the job's token"]
    if verb in REPORTS and not params.have(a.last):
        return ["the operation was not given the last token"]
    if verb in LAPSES and before.workers[job] in after.alive:
        return ["its worker is not marked gone"]
    return []


@contextmanager
def _given(engine: Any) -> Iterator[Params]:
    """Collects the parameters of all statements, unless a test observes them itself."""
    params = Params()
    if getattr(engine, "observe", None) is not None:
        params.known = False
        yield params
        return
    engine.observe = params.note
    try:
        yield params
    finally:
        engine.observe = None
