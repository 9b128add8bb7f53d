"""The director: sets the stage, strikes where the plan says so, tells the story, and opens the books."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..model.verdict import Verdict
from . import outcome, reconciled
from .commands import CommandFailed
from .crew import SIZE, CrewFailed
from .options import FAST, KILLS, LANE_C, SLOW, Pace, Wanted
from .orders import OrderFile, read_orders
from .page import desktop, show
from .places import Folder, Settings
from .plan import Plan, make_plan, orders_needed
from .points import reports
from .poison import Poison
from .reconciled import Reconciled
from .stage import Stage
from .story import Story
from .watch import Watch

TICK_S = 0.02
FOLLOW_EVERY = 4
"""Ticks between two looks at what became of the orders that were hit."""
JUDGE_S = 0.5
PASSING_S = 10.0
"""How long a verdict that wants a person is asked again: who was just killed is reaped meanwhile."""
SEEDS = 100_000
INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Somebody wants it to end."""


def demonstrate(options: Wanted) -> int:
    """All of it; see :func:`dutiful.demo.run`."""
    kills = KILLS if options.kills is None else options.kills
    seed = random.SystemRandom().randrange(SEEDS) if options.seed is None else options.seed
    pace = FAST if options.fast else SLOW
    found = read_orders(options.orders, at_least=orders_needed(kills))
    plan = make_plan([order.id for order in found.orders], kills=kills, seed=seed)
    story = Story(sys.stderr if options.json else sys.stdout, progress_s=pace.progress_s)
    settings = Settings(
        lease_s=pace.lease_s,
        bank_s=pace.bank_s,
        repeat_s=pace.repeat_s,
        seed=seed,
        poison=plan.poison,
        lane_c=getattr(options, "lane_c", LANE_C),
        director=os.getpid(),
    )
    told = False
    with _signals() as interrupted:
        try:
            with Stage(found.orders, settings, keep=options.keep) as stage:
                folder = stage.folder if options.keep else None
                _introduce(story, folder, found, seed=seed, kills=kills)
                play = Show(
                    stage, plan, pace, story, interrupted, opens=_opens(options), lane_c=settings.lane_c
                )
                failure = play.play()
                end = outcome.reckon(found, play.facts(), failure)
                if _stays(options) and not failure and stage.page.visited:
                    for line in outcome.lines(end, story, folder):
                        story.say(line)
                    told = True
                    story.say("The page stays, with workers for it. Ctrl-C ends it all.")
                    play.stay()
        except Interrupted:
            story.settle()
            where = f"{stage.folder.path} is kept" if options.keep else "the folder is removed"
            story.say(f"Interrupted: no process is left, {where}.")
            return INTERRUPTED
    for line in () if told else outcome.lines(end, story, folder):
        story.say(line)
    if options.json:
        document = outcome.document(end, seed=seed, fast=options.fast, took_s=story.age_s, folder=folder)
        sys.stdout.write(f"{json.dumps(document, ensure_ascii=False)}\n")
        sys.stdout.flush()
    return 0 if end.ok else 1


class Show:
    """One performance on a stage that is set."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        pace: Pace,
        story: Story,
        interrupted: list[int],
        *,
        opens: bool,
        lane_c: str,
    ) -> None:
        self._stage, self._pace, self._story, self._interrupted = stage, pace, story, interrupted
        self.watches = {
            lane.letter: Watch(
                lane,
                stage.crews[lane.letter],
                plan.crashes,
                folder=stage.folder,
                bank=stage.bank,
                story=story,
                lease_s=pace.lease_s,
            )
            for lane in stage.lanes
        }
        self.poison = Poison(plan.poison, stage.c, stage.folder, story, stage.page, pace=pace)
        self.reconciled: dict[str, Reconciled] = {}
        self._lane_c = lane_c
        self.verdict: Verdict | None = None
        """What ``dutiful verdict`` said of lane C at the end, while its workers were there."""
        self._opens = opens
        self._page_told = False
        self._stored_told = False

    def play(self) -> str:
        """From the first worker to the last; returns what failed, "" if nothing did. Raises Interrupted."""
        try:
            self._stage.start()
            until = time.monotonic() + self._pace.limit_s
            ticks = 0
            while True:
                if self._interrupted:
                    raise Interrupted
                self._strike()
                ticks += 1
                if ticks % FOLLOW_EVERY == 0:
                    self._follow()
                    if self._over():
                        break
                    if time.monotonic() > until:
                        missing = self._missing()
                        self._stage.drain()
                        return f"it was not done after {self._pace.limit_s:.0f} s: {missing}."
                time.sleep(TICK_S)
            self._reconcile()
            self._judge()
            if not self._stage.drain():
                return "workers did not end when they were told to."
            for letter in ("A", "B"):
                self.reconciled[letter] = reconciled.rehearsed(self._stage.folder, letter)
        except (CrewFailed, CommandFailed) as failure:
            return f"{failure}."
        finally:
            self._story.settle()
        return ""

    def _strike(self) -> None:
        for report in reports(self._stage.folder):
            self.watches[report.lane].strike(report)

    def _follow(self) -> None:
        events = self._stage.c.events()
        for watch in self.watches.values():
            watch.crew.tend()
            watch.follow(events)
        self.poison.follow()
        self._tell_page()
        counts = self._stage.bank.counts()
        parts = [f"{letter} {counts.get(letter, 0):>3}" for letter in self.watches]
        self._story.progress(f"charged so far: {'   '.join(parts)}   of {self._stage.count} orders")

    def _tell_page(self) -> None:
        """Once: where the page is, or why there is none."""
        page = self._stage.page
        if self._page_told or not page.settled:
            return
        self._page_told = True
        if page.missing():
            self._story.say(
                f"No page: {page.missing()} is not installed. To see one: pip install 'dutiful[web]'"
            )
        elif page.address:
            self._story.say(f"The page, for the browser that comes first:  {page.address}")
            if self._opens:
                show(page.address)
        else:
            self._story.say(f"No page: {page.failed}")

    def _reconcile(self) -> None:
        """Lane C against the bank, by the command: what it finds is in the verdict. Raises CommandFailed."""
        found = reconciled.by_command(self._stage.folder, self._lane_c)
        self.reconciled["C"] = found
        sign, colour = ("✗", "red") if found.missing or found.surplus else ("✓", "green")
        self._story.tell("C", sign, f"dutiful reconcile --app {self._lane_c}: {found.words}", colour)

    def _judge(self) -> None:
        """The verdict, once all that can be known is known, or it took too long. Raises Interrupted."""
        began = time.monotonic()
        while True:
            self.verdict = self._stage.c.verdict()
            patience_s = self._pace.verdict_s
            if self.verdict.state == "person":
                patience_s = max(patience_s, PASSING_S)
            if self.verdict.state == "well" or time.monotonic() >= began + patience_s:
                return
            self._follow()
            if self._interrupted:
                raise Interrupted
            time.sleep(JUDGE_S)

    def stay(self) -> None:
        """Keep the page, and workers for it, until somebody wants it to end."""
        crew = self._stage.work_on()
        while not self._interrupted and self._stage.page.visited:
            crew.tend()
            time.sleep(JUDGE_S)

    def _over(self) -> bool:
        produced = self._stage.produced()
        if produced:
            text = self._stage.folder.log("producer").read_text(errors="replace").strip()
            raise CrewFailed(f"who enqueues for lane C ended with {produced}: {text.splitlines()[-1:]}")
        return produced == 0 and self.poison.done and all(watch.over for watch in self.watches.values())

    def _missing(self) -> str:
        parts = [watch.missing() for watch in self.watches.values()]
        parts.append("" if self.poison.done else f"poison order {self.poison.order_id} not retried and done")
        return "; ".join(part for part in parts if part) or "nothing that could be named"

    def facts(self) -> outcome.Facts:
        """What was done to the lanes, and what the bank's books say; for the reckoning."""
        try:
            requests = json.loads(self._stage.folder.requests.read_text())
        except FileNotFoundError:
            requests = {"stored": 0, "folded": 0}
        return outcome.Facts(
            charges=self._stage.bank.charges(),
            repeats_answered=self._stage.bank.repeats("C"),
            hits={letter: watch.hits for letter, watch in self.watches.items()},
            stored=requests["stored"],
            folded=requests["folded"],
            poison=self.poison.order_id,
            retried=len(self.poison.retried) if self.poison.done else 0,
            by_visitor=self.poison.by_visitor,
            verdict=self.verdict,
            reconciled=self.reconciled,
            left={letter: watch.lane.left() for letter, watch in self.watches.items()},
        )


def _opens(options: Wanted) -> bool:
    """Whether a browser is opened: as told, else where somebody sits here and is to see it."""
    return options.opens if options.opens is not None else _stays(options) and desktop()


def _stays(options: Wanted) -> bool:
    """Whether there may be somebody who looks at the page and not at the clock."""
    return not (options.fast or options.json) and sys.stdin.isatty() and sys.stdout.isatty()


def _introduce(story: Story, kept: Folder | None, found: OrderFile, *, seed: int, kills: int) -> None:
    count = len(found.orders)
    title = f"Three lanes charge the same {count} orders at a toy bank, while workers are killed."
    story.say(story.paint(title, "bold"))
    story.say("  A  acknowledge first: off the queue when it is taken")
    story.say("  B  acknowledge last: lent, deleted when done, lent again after a time; no key")
    story.say("  C  dutiful: every order enqueued twice, the charge sent with the key of its duty")
    story.say(
        f"Each lane: {SIZE} workers, {kills} × kill -9, one stopped past its lease and woken. Seed {seed}."
    )
    folder = f"{kept.path} is kept" if kept else "the folder is removed at the end (--keep)"
    story.say(f"Nothing is installed or sent anywhere; {folder}.")
    for bad in found.bad:
        story.say(f"{found.path}, line {bad.line}: {bad.problem}; left out")
    if found.left_over:
        story.say(f"{found.path} has {found.left_over} more orders; {count} are enough.")
    story.say()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP are noted, to be seen between two steps: nothing is left half done."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
