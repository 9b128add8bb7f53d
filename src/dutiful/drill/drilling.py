"""One drill: two undisturbed runs say what should be, then every scenario is compared with that."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..app.task import Task
from ..model.errors import DutifulError
from ..model.ids import make_id
from ..model.jobs import Ending
from . import times
from .advice import finding_of, refused
from .boundaries import Plan, Track, own
from .oracle import foreign_kept, judge
from .processes import in_child
from .provider import Answers, Provider
from .report import Finding, Report
from .runs import Scene, quiet, standing
from .scenarios import Args, NotPlayed, Scenario, all_of, bumped, chosen
from .shim_http import http_shims
from .shim_mail import mail_shim
from .states import State, Table, Volatile, differences, volatile_of
from .stores import Fixture, Store, World, store_for
from .unseen import Seen, guarded, watch

LATER_US = 61_000_000
"""So much later the second undisturbed run is made: what tells the time differs, and is masked."""


@dataclass
class Stage:
    """What one scenario has at hand besides the scene."""

    drilling: Drilling
    scene: Scene
    world: World
    provider: Provider
    args: Args
    id: str
    status: str = ""
    bumps: list[tuple[str, str, dict[str, Any], Any]] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)

    def track(
        self,
        plan: Plan | None,
        turn: Callable[[int], None] | None = None,
        blocked: Callable[[], bool] | None = None,
    ) -> Track:
        """A run's track, which is kept."""
        self.tracks.append(Track(plan, turn, blocked))
        return self.tracks[-1]

    def enqueue(self, args: Args) -> tuple[str, bool]:
        """One more job."""
        return self.scene.enqueue(*args, None)

    def enqueue_again(self) -> None:
        """The same duty once more: it has to be known."""
        self.enqueue(self.args)

    def zone(self, name: str | None) -> AbstractContextManager[None]:
        """Local time of another zone, meanwhile."""
        return times.zone(name)

    def foreign_write(self) -> None:
        """Somebody else changes the numbers that the task changes, too."""
        drilling = self.drilling
        for name, column, key, change in bumped(
            drilling.reference.tables, drilling.start, self.world.tables()
        ):
            where = " AND ".join(f'"{part}" = {self.drilling.store.mark}' for part in key)
            sql = f'UPDATE "{name}" SET "{column}" = "{column}" + {self.drilling.store.mark} WHERE {where}'
            try:
                self.world.write(sql, (change, *key.values()))
            except Exception:
                continue  # a constraint forbids it: nobody else can do so either
            self.bumps.append((name, column, key, change))
        if not self.bumps:
            raise NotPlayed


Ended = tuple[Ending | None, BaseException | None]


class NotComparable(Exception):
    """Why two ends cannot be compared."""


class Drilling:
    """See :func:`dutiful.drill.drill`, which makes one and lets it run."""

    def __init__(
        self,
        task: Task[..., Any],
        args: Args,
        fixture: Fixture,
        *,
        answers: Answers = None,
        volatile: Iterable[str] = (),
        siblings: Iterable[Args] = (),
        golden: Iterable[Args] = (),
        seed: int = 0,
        process: bool = False,
    ) -> None:
        self.task, self.args, self.fixture = task, args, fixture
        self.app = task.app
        self.answers = answers
        self.accepted: Volatile = frozenset((n.partition(".")[0], n.partition(".")[2]) for n in volatile)
        self.siblings, self.golden = list(siblings), list(golden)
        self.seed, self.process = seed, process
        self.seen = Seen()
        self.id = make_id()
        self.now_us = round(
            datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0).timestamp() * 1_000_000
        )
        self.runs = 0
        self.start: dict[str, Table] = {}
        self.reference = State({}, Counter())
        self.trace = Track()
        self.volatile: Volatile = self.accepted
        self.store: Store
        self._after_sibling: dict[int, State] = {}

    # ── all of it ───────────────────────────────────────────────────────────────────────────

    def run(self, only: str | None, limit: int | None, first: bool) -> Report:
        """Everything; ``first``: end with the first finding."""
        began = time.monotonic()
        own(self.task.function.__code__.co_filename)
        report = Report(task=self.task.name, app=self.app.name, process=self.process)
        report.engine = "postgres" if self.app.url.startswith("postgres") else "sqlite"
        if self.app.databases:
            report.why = "The app has other databases (databases=); a drill knows only the queue's own."
            return report
        self.store = store_for(self.app, self.fixture)
        watch(self.seen)
        times.taken(anew=True)
        try:
            with quiet(), guarded(self.seen, shimmed=self.store.shimmed):
                self._undisturbed(report)
                report.accepted = sorted(".".join(pair) for pair in self.accepted)
                scenarios = list(chosen(all_of(self), only, limit, self.seed))
                report.wanted = len(scenarios)
                for scenario in scenarios:
                    if first and report.findings:
                        break
                    self._try(scenario, report)
        except NotComparable as error:
            report.why = str(error)
        finally:
            watch(None)
            self.seen.reset()
            self.store.close()
        if self.seen.sockets:
            report.why = report.why or f"Unseen I/O: {self.seen.sockets[0]}."
        report.unseen = sorted(set(self.seen.sockets))
        report.files = sorted(self.seen.files)
        report.boundaries = len(self.trace.events)
        report.transactions = self.trace.commits
        report.calls = sum(event.kind == "call" for event in self.trace.events)
        report.masked = sorted(".".join(pair) for pair in self.volatile)
        report.runs, report.seconds = self.runs, time.monotonic() - began
        return report

    def _undisturbed(self, report: Report) -> None:
        world = self.store.make()
        self.start = world.tables()
        world.close()

        def whole(scene: Scene, id: str, stage: Stage) -> None:
            self.trace = scene.run(stage.track(None)) or Track()
            stage.status = scene.to_the_end(id)

        plain = Scenario("X1", "undisturbed", whole)
        second, _ = self.play(plain, self.now_us + LATER_US)
        state, _ = self.play(plain, self.now_us)
        self.reference = state
        for one in (second, state):
            if self.seen.sockets:
                raise NotComparable(f"Unseen I/O: {self.seen.sockets[0]}.")
            if one.status != "done":
                raise NotComparable(f"The undisturbed run ended {one.status}: {one.why or 'it was not run'}")
        found = volatile_of(state, second, self.start)
        if found is None:
            raise NotComparable("Two undisturbed runs from the same fixture end with different rows.")
        self.volatile = found | self.accepted
        for difference in differences(second, state, self.start, self.volatile):
            if difference.what == "effects":
                words = "two undisturbed runs make different calls: " + difference.words
                report.findings.append(_unstable(words, "Send nothing that time or chance has made."))
                break
        keys = [[call.key for call in one.effects] for one in (state, second)]
        if not report.findings and keys[0] != keys[1]:
            words = f"{state.effects[0].name}: the idempotency key is another in each run"
            report.findings.append(_unstable(words, "Make it from the duty: run.key(…)."))

    # ── one scenario ────────────────────────────────────────────────────────────────────────

    def play(self, scenario: Scenario, at_us: int | None = None) -> tuple[State, Stage]:
        """One scenario in a world of its own; raises NotPlayed where it cannot take place."""
        world = self.store.make()
        clock = times.DrillClock(self.now_us if at_us is None else at_us)
        provider = Provider(self.answers)
        args = scenario.args or self.args
        try:
            with ExitStack() as stack:
                stack.enter_context(self.store.shims(lambda: world))
                stack.enter_context(http_shims(provider))
                stack.enter_context(mail_shim(provider))
                stack.enter_context(times.telling(clock))
                scene = stack.enter_context(standing(self.app, self.task, world, clock))
                if self.process:
                    scene.forks = lambda carry, track: self._in_child(carry, track, provider)
                if scenario.sibling is not None:
                    other, _ = scene.enqueue(*scenario.sibling, None)
                    scene.to_the_end(other)
                id, _ = scene.enqueue(*args, self.id)
                stage = Stage(self, scene, world, provider, args, id)
                scenario.play(scene, id, stage)
                why = scene.failures[-1] if scene.failures else ""
            self.runs += max(scene.begins, 1)
            state = State(
                tables=world.tables(),
                jobs=world.jobs(id),
                effects=provider.applied,
                clashes=provider.clashes,
                files=self.seen.contents(),
                status=stage.status,
                why=why,
                begins=scene.begins,
            )
            return state, stage
        finally:
            world.close()
            self.seen.reset()

    def _in_child(self, carry: Callable[[], Ending], track: Track, provider: Provider) -> Ended:
        self.store.rest()
        return in_child(carry, track, provider, self.seen)

    def _try(self, scenario: Scenario, report: Report) -> None:
        try:
            state, stage = self.play(scenario)
        except NotPlayed:
            return
        except DutifulError as error:
            report.count(scenario.name)
            report.add(refused(scenario, str(error)))
            return
        report.count(scenario.name)
        reference = self._reference_of(scenario)
        if stage.bumps:
            found = foreign_kept(state, reference, self.start, self.volatile, stage.bumps)
        else:
            found = judge(scenario, state, reference, self.start, self.volatile, self.task.policy)
        if found:
            report.add(finding_of(scenario, found, state, self))

    def _reference_of(self, scenario: Scenario) -> State:
        """What the end should be: that of the undisturbed run, or of the other order."""
        if scenario.sibling is None:
            return self.reference
        key = id(scenario.sibling)
        if key not in self._after_sibling:
            sibling = scenario.sibling

            def after(scene: Scene, id: str, stage: Stage) -> None:
                stage.status = scene.to_the_end(id)
                other, _ = scene.enqueue(*sibling, None)
                scene.to_the_end(other)

            self._after_sibling[key], _ = self.play(Scenario("X8", "before its sibling", after))
        return self._after_sibling[key]


def _unstable(words: str, fix: str) -> Finding:
    why = "What is sent is another in each run, so that a repeat is not known as one."
    return Finding("X1", "X1 twice", "undisturbed, twice", words, why, fix, "DU005")
