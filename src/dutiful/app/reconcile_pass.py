"""One pass of a reconciliation: expected, then in flight, then done; judged, governed, written down, mended.

Any process may make one, and two at once do no harm: an enqueue is under the duty's key. The order of reading
is the point: a job that ends between two of the looks is seen done, so that no false alarm is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from ..engines.evidence import instant
from ..model.errors import InvalidReconcile
from ..model.reconcile import DAY_US, Class, classify, govern, limit, moved
from ..operations import health, reconcile
from ..operations.plan import as_json
from ..operations.reconcile import Counts, End, Found, Holder, Pass, Stored
from .reconcile_sides import Sides
from .reconcile_spool import PIECE, Line, Spool, in_pieces
from .reconciling import Outcome, Reconciler, Source

if TYPE_CHECKING:
    from .app import App

WRITTEN_MAX = 10_000
"""So many of a class are written down; beyond them they are counted."""
SHOWN_MAX = 20
BACK_US = 90 * DAY_US
"""A missing duty keeps the window open behind it for so long."""


class Result(Struct):
    """What a pass came to. ``run`` is its number, None for a rehearsal; ``shown`` are the first findings."""

    made: Pass
    run: int | None
    enqueued: int = 0
    queues: set[str] = field(default_factory=set)
    shown: list[Found] = field(default_factory=list)


class Stopped(Exception):
    """The pass was told to stop, and leaves things as they are."""


class Sweep:
    """A pass, which is made by :meth:`run`.

    ``since_us`` looks further back than the window; ``whole``: at all of it, not only at what is new;
    ``dry`` writes nothing. ``go_on`` is asked between pieces: false ends the pass.
    """

    def __init__(
        self,
        app: App,
        one: Reconciler,
        *,
        by: str,
        since_us: int | None = None,
        dry: bool = False,
        whole: bool = False,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._app, self._one, self._rule = app, one, one.rule
        self._by, self._wanted, self._dry, self._go_on = by, since_us, dry, go_on
        self._whole = whole or since_us is not None or one.handled
        self._handles: dict[str, list[Any]] = {}
        self._made: set[str] = set()
        self._sides = Sides(app, one)

    # ── the pass ────────────────────────────────────────────────────────────────────────────

    def run(self) -> Result:
        """Make it. Raises InvalidReconcile, StoreError and whatever the declared sides raise."""
        with self._sides, Spool() as spool:
            engine = self._app.engine
            self._began = engine.run(health.now())
            stored = self._stored()
            place = self._sides.place()
            before, oldest = engine.run(reconcile.before(self._app.name, self._one.name))
            self._whole = self._whole or self._is_whole(stored, place)
            self._bounds(stored, oldest)
            horizon = self._sides.horizon_us()
            self._look(spool)
            counts = self._judge(spool)
            wanted = counts.missing + (counts.late if self._rule.then == "run" else 0)
            believed = limit(counts.expected, before)
            governed = govern(
                wanted,
                believed,
                None if stored is None else stored.approved,
                stored is not None and stored.stopped is not None,
            )
            made = Pass(
                self._one.name,
                self._whole,
                self._by,
                self._began,
                self._since,
                self._until,
                counts,
                believed,
                governed,
            )
            result = self._act(spool, made)
            if result.run is not None:
                self._close(spool, result.run)
                first = spool.first_open()
                mark = moved(self._until, [] if first is None else [first], horizon)
                name = self._app.name
                engine.run(reconcile.finish(name, made, result.run, mark, place, self._rule.every_us))
                self._acknowledge(spool, result)
            return result

    def _stored(self) -> Stored | None:
        found = self._app.engine.run(reconcile.look(self._app.name))
        return next((one for one in found if one.name == self._one.name), None)

    def _is_whole(self, stored: Stored | None, place: str) -> bool:
        return stored is None or stored.approved is not None or bool(stored.whole_due(place))

    def _bounds(self, stored: Stored | None, oldest: int | None) -> None:
        """Since when duties are looked at, and since when the two sides are read."""
        rule, now = self._rule, self._began
        self._until = now - rule.grace_us
        if self._wanted is not None:
            self._since = self._wanted
            if rule.memory_us is not None and self._since < rule.since(now):
                raise InvalidReconcile(
                    f"reconcile {rule.name!r} has no done=, and what was done longer ago than "
                    f"{instant(rule.since(now)):%Y-%m-%d %H:%M} is not remembered here (I10).",
                    hint="Give it done=, evidence in the business data, to look further back.",
                )
        elif self._whole:
            self._since = rule.since(now)
            if oldest is not None and rule.memory_us is None:
                self._since = min(self._since, max(oldest, now - BACK_US))
        else:
            assert stored is not None
            self._since = rule.since_quick(now, stored.watermark_us)
        # Work may be done before it is due, and a day late without being taken for unexpected.
        lead = min(DAY_US, max(rule.window_us, rule.grace_us))
        self._done_since = self._since - lead
        self._expected_since = self._since - 2 * lead if self._seeks_surplus else self._since

    @property
    def _seeks_surplus(self) -> bool:
        """Whether what is done and not expected can be told: only where all that is expected is read."""
        return self._whole and self._one.done is not None and not self._one.handled

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def _look(self, spool: Spool) -> None:
        """The order that raises no false alarm."""
        self._read_expected(spool)
        self._read_in_flight(spool)
        self._read_done(spool)

    def _read_expected(self, spool: Spool) -> None:
        rows = self._one.expected_rows
        since, until = self._expected_since, self._began
        pairs = self._sides.handled(since, until) if self._one.handled else None
        found = self._sides.expected(since, until) if pairs is None else (row for row, _ in pairs)
        for piece in in_pieces(found):
            self._check()
            rows.check(piece[0])
            spool.expect(self._as_duties(piece), self._since)
        for row, handle in pairs or ():
            self._handles.setdefault(rows.expected(row, self._until)[0], []).append(handle)

    def _as_duties(self, piece: Sequence[Any]) -> Iterator[tuple[str, int, object]]:
        default = self._until if self._one.handled else None
        for row in piece:
            yield (*self._one.expected_rows.expected(row, default), row)

    def _read_in_flight(self, spool: Spool) -> None:
        """What holds each duty; where there is no other evidence, our own records in a second look."""
        engine, app, tasks = self._app.engine, self._app.name, self._one.tasks
        own = self._one.done is None
        by_ledger = self._one.task.policy.delivery == "exactly_once"
        elsewhere = self._one.task.elsewhere
        for keys in spool.pieces_of_keys():
            self._check()
            done: Iterable[str] = ()
            ends: dict[str, End] = {}
            if not own or (by_ledger and elsewhere is not None):
                holders = engine.run(reconcile.holders(app, tasks, keys))
                if own:
                    params = {"app": app, "tasks": as_json(tasks), "keys": as_json(keys)}
                    done = [row[0] for row in self._sides.at(elsewhere).statement("reconcile_ledger", params)]
            elif by_ledger:
                holders, done = engine.run(reconcile.worked(app, tasks, keys))
            else:
                holders, ends = engine.run(reconcile.ended(app, tasks, keys))
                done = [key for key, end in ends.items() if _is_done(end, holders.get(key))]
            spool.held(_held(holders))
            spool.done(done)
            spool.given_up(key for key, end in ends.items() if end.outcome == "waived")

    def _read_done(self, spool: Spool) -> None:
        if self._one.done is None:
            return
        rows = self._one.done_rows
        for piece in in_pieces(self._sides.done(self._done_since, self._began)):
            self._check()
            spool.evidence(rows.key(row) for row in piece)
        spool.count_evidence()

    def _check(self) -> None:
        if not self._go_on():
            raise Stopped

    # ── judging ─────────────────────────────────────────────────────────────────────────────

    def _judge(self, spool: Spool) -> Counts:
        for lines in spool.undone():
            self._check()
            kinds = [(line, classify(self._rule, line.duty, self._began)) for line in lines]
            again = [line for line, kind in kinds if kind in ("missing", "late")]
            excused = self._again([line.duty.key for line in again]) if again else {}
            spool.judge(
                (line.no, *excused.get(line.duty.key, (kind, _why(line, kind)))) for line, kind in kinds
            )
        unexpected = self._unexpected(spool) if self._seeks_surplus else 0
        found = spool.counts()
        known = {name: found.get(name, 0) for name in Counts.__struct_fields__}
        known |= {"expected": sum(found.values()), "surplus": known["surplus"] + unexpected}
        return Counts(**known | {"unexpected": unexpected})

    def _again(self, keys: list[str]) -> dict[str, tuple[Class, str]]:
        """Of those that seem to be missing: what holds the duty now, and what says that it was done."""
        engine, app = self._app.engine, self._app.name
        holders, ends = engine.run(reconcile.ended(app, self._one.tasks, keys))
        now = engine.run(health.now())  # an ending after it was written by a clock that was set back since
        found: dict[str, tuple[Class, str]] = {}
        for key, end in ends.items():
            if end.outcome == "waived":
                found[key] = ("ok", "")
            elif end.at_us is not None and self._began <= end.at_us <= now:
                found[key] = ("waiting", "")  # it ended while this pass looked: the next one will see
            elif end.outcome in ("performed", "duplicate"):
                found[key] = ("missing", f"job {end.job_id} says that it is done, and the evidence does not")
        for key, holder in holders.items():
            if holder.state is not None:
                found[key] = ("people" if holder.state == "in_doubt" else "waiting", "")
            elif holder.reason is not None:
                found[key] = ("people", f"job {holder.job_id} is dead ({holder.reason})")
        return found

    def _unexpected(self, spool: Spool) -> int:
        """Done and not expected: looked at again, and further back, for what came meanwhile or was late."""
        many = spool.suspect()
        if not many:
            return 0
        rows = self._one.expected_rows
        now = self._app.engine.run(health.now())
        found = self._sides.expected(self._expected_since - self._rule.window_us, now)
        for piece in in_pieces(found):
            self._check()
            spool.excuse(rows.key(row) for row in piece)
        return spool.suspected()

    # ── acting ──────────────────────────────────────────────────────────────────────────────

    def _act(self, spool: Spool, made: Pass) -> Result:
        result = Result(made, None)
        left = made.governed.allowed
        kinds: tuple[Class, ...] = ("missing", "late", "surplus", "stuck", "people")
        for kind in kinds:
            enqueues = kind == "missing" or (kind == "late" and self._rule.then == "run")
            if kind == "late" and self._rule.then == "skip":
                continue  # declared to be no duty any more: counted, and no finding
            most = max(WRITTEN_MAX, left if enqueues else 0)
            for piece in spool.of_kind(kind, most):
                found = []
                for key, due, row, job_id, why in piece:
                    job = self._one.expected_rows.job(row) if enqueues and left > 0 else None
                    left -= job is not None
                    found.append(Found(key, kind, due, why, job_id, job))
                self._write(made, result, found)
        for many in in_pieces(spool.unexpected(WRITTEN_MAX)):
            self._write(
                made, result, [Found(key, "surplus", None, _unexpected_why(times)) for key, times in many]
            )
        if result.run is None and not self._dry:
            self._write(made, result, [])
        return result

    def _write(self, made: Pass, result: Result, found: Sequence[Found]) -> None:
        result.shown += found[: SHOWN_MAX - len(result.shown)]
        if self._dry:
            return
        self._check()
        result.run, duplicates = self._app.engine.run(reconcile.act(self._app.name, made, result.run, found))
        jobs = [one.job for one in found if one.job is not None]
        result.enqueued += len(jobs) - len(duplicates)
        result.queues |= {job.queue for job in jobs}
        self._made |= {one.key for one in found if one.job is not None} - duplicates.keys()

    def _close(self, spool: Spool, run: int) -> None:
        """Findings of duties that are well now, or that nobody expects any more where all was looked at."""
        engine, app, name, after = self._app.engine, self._app.name, self._one.name, ""
        while piece := engine.run(reconcile.open_keys(app, name, after, PIECE)):
            after = piece[-1][0]
            kinds = spool.kinds_of([key for key, _, _ in piece])
            over = []
            for key, kind, due in piece:
                now = kinds.get(key)
                if now is None:
                    within = kind not in ("missing", "late") or due is None or due >= self._since
                    gone = self._whole and within
                else:
                    gone = now in ("ok", "young", "waiting") or (now == "late" and self._rule.then == "skip")
                if gone:
                    over.append(key)
            if over:
                engine.run(reconcile.close(app, name, run, over))

    def _acknowledge(self, spool: Spool, result: Result) -> None:
        """Tell the other system, after the commit, of those whose duty is in good hands."""
        if not self._handles:
            return
        tell = self._one.acknowledge
        if tell is None:
            assert isinstance(self._one.expected, Source)
            tell = self._one.expected.acknowledge
        said: dict[str, Outcome] = {"ok": "done", "waiting": "waiting"}
        for keys in in_pieces(self._handles):
            kinds = spool.kinds_of(keys)
            for key in keys:
                outcome: Outcome | None = "enqueued" if key in self._made else said.get(kinds.get(key, ""))
                if outcome is not None:
                    for handle in self._handles[key]:
                        tell(handle, outcome)


def _held(
    holders: dict[str, Holder],
) -> Iterator[tuple[str, str | None, bool, int, int | None, str]]:
    for key, one in holders.items():
        if one.state is not None or one.reason is not None:
            yield key, one.state, one.reason is not None, one.opened_us, one.deadline_us, one.job_id


def _is_done(end: End, holder: Holder | None) -> bool:
    """A job that is open or dead again is not done, whatever it was before."""
    alive = holder is not None and (holder.state is not None or holder.reason is not None)
    return not alive and end.outcome in ("performed", "duplicate")


def _why(line: Line, kind: Class) -> str:
    duty = line.duty
    if kind == "surplus":
        return f"is done {duty.done} times"
    if kind == "people":
        return f"job {line.job} is {'dead' if duty.dead else 'in doubt'}"
    return f"job {line.job} is open" if kind == "stuck" else ""


def _unexpected_why(times: int) -> str:
    return "is done and not expected" if times == 1 else f"is done {times} times"
