"""One lane under watch: strikes its workers where the plan says so, and follows what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .bank import Bank
from .crew import Crew, CrewFailed, Member
from .lanes import DutifulLane, Lane
from .places import Folder
from .plan import Crash
from .points import POINTS, Report, lay, let_go
from .story import Story

PAUSED_LEASES = 1.25
"""A zombie sleeps for so many leases at least, and until another has done its work."""
PATIENCE_S = 20.0
"""How long a zombie is left asleep at most, and how long is waited for what it does when woken."""
AIM_MAX = 40
AIM_S = 0.05

STATES = {
    ("A", "before"): "off the queue, bank not asked",
    ("A", "gap"): "off the queue, bank charged",
    ("A", "after"): "off the queue, bank charged",
    ("B", "before"): "bank not asked",
    ("B", "gap"): "bank charged, not recorded",
    ("B", "after"): "bank charged, recorded",
    ("C", "before"): "bank not asked",
    ("C", "gap"): "bank charged, not recorded",
    ("C", "after"): "bank charged, recorded",
}


@dataclass
class Hit:
    """A worker was killed or stopped at a point of an order."""

    crash: Crash
    report: Report
    member: Member
    pid: int
    at: float
    lapsed_s: float | None = None
    """How long it took until another run could begin."""
    woken_at: float | None = None
    refused: bool = False
    """Whether the zombie's late write was seen refused."""
    run_no: int = 0
    """The run that did the work in the end, in lane C."""
    over: bool = False


class Watch:
    """A lane, its workers, and what is planned for them."""

    def __init__(
        self, lane: Lane, crew: Crew, crashes: Sequence[Crash], *, folder: Folder, bank: Bank, story: Story,
        lease_s: float,
    ) -> None:  # fmt: skip
        self.lane, self.crew = lane, crew
        self.hits: list[Hit] = []
        self._due = {(crash.order_id, crash.where): crash for crash in crashes}
        self._folder, self._bank, self._story = folder, bank, story
        self._lease_s = lease_s
        for crash in crashes:
            lay(folder, lane.letter, crash.order_id, crash.where)

    @property
    def over(self) -> bool:
        """Whether all that was planned has happened and been seen through, and the queue is empty."""
        return not self._due and all(hit.over for hit in self.hits) and self.lane.left() == 0

    def missing(self) -> str:
        """What has not happened yet."""
        parts = [f"{len(self._due)} crashes not made"] if self._due else []
        open_hits = [hit.crash.order_id for hit in self.hits if not hit.over]
        parts += [f"orders hit and not seen through: {', '.join(open_hits)}"] if open_hits else []
        left = self.lane.left()
        parts += [f"{left} orders still queued"] if left else []
        return f"lane {self.lane.letter}: {'; '.join(parts)}" if parts else ""

    def count(self, how: str) -> int:
        """How many kills or stops were made."""
        return sum(hit.crash.how == how for hit in self.hits)

    # ── striking ────────────────────────────────────────────────────────────────────────────

    def strike(self, report: Report) -> None:
        """A worker waits at a point: do there what was planned."""
        member = self.crew.find(report.pid, report.parent)
        if member is None or member.killed:
            # It died of another strike before this one: whoever runs the order next will stop there.
            lay(self._folder, report.lane, report.order_id, report.where)
            let_go(self._folder, report)
            return
        crash = self._due.pop((report.order_id, report.where))
        hit = Hit(crash, report, member, member.process.pid, time.monotonic())
        if crash.how == "kill":
            if not self.crew.kill(member):
                raise CrewFailed(f"{member.name} of lane {self.lane.letter} ended before it was killed")
        else:
            self._pause(member)
        let_go(self._folder, report)
        self.hits.append(hit)
        verb = "killed" if crash.how == "kill" else "stopped"
        place = f"{POINTS[crash.where]}: order {crash.order_id}, {STATES[self.lane.letter, crash.where]}"
        self._tell("✗", f"{verb} {member.name} (pid {hit.pid}) {place}", "red")

    def _pause(self, member: Member) -> None:
        """Stop the process, but not in the middle of a commit: that would stop the whole lane with it."""
        for _ in range(AIM_MAX):
            self.crew.pause(member)
            time.sleep(AIM_S)
            if self.lane.can_be_written():
                return
            self.crew.wake(member)
            time.sleep(AIM_S)

    # ── following ───────────────────────────────────────────────────────────────────────────

    def follow(self, events: Sequence[dict[str, object]]) -> None:
        """See what has become of each order that was hit; ``events`` are new ones of lane C's workers."""
        for hit in self.hits:
            if not hit.over:
                self._follow(hit, events)

    def _follow(self, hit: Hit, events: Sequence[dict[str, object]]) -> None:
        if isinstance(self.lane, DutifulLane):
            self._look_at_job(hit, self.lane)
        if hit.crash.how == "stop":
            self._follow_zombie(hit, events)
        elif hit.crash.where == "after":
            hit.over = True
        elif self.lane.letter == "A":
            hit.over = True
            if hit.crash.where == "before":
                self._tell("†", f"order {hit.crash.order_id} is on no queue any more: lost", "red")
        elif self.lane.is_recorded(hit.report):
            hit.over = True
            self._tell_outcome(hit)

    def _look_at_job(self, hit: Hit, lane: DutifulLane) -> None:
        job = lane.job(hit.report.job_id)
        hit.run_no = job.run_no
        if hit.lapsed_s is None and (job.state != "running" or job.run_no > hit.report.run_no):
            hit.lapsed_s = time.monotonic() - hit.at

    def _tell_outcome(self, hit: Hit) -> None:
        order, times = hit.crash.order_id, self._bank.times(self.lane.letter, hit.crash.order_id)
        if self.lane.letter == "B":
            waited = f"lent again after {self._lease_s:.1f} s"
        else:
            waited = f"lapsed in {hit.lapsed_s:.1f} s, run again (run {hit.report.run_no}, now {hit.run_no})"
        if times > 1:
            self._tell("✗", f"order {order}: {waited}, charged {times} times", "red")
        else:
            knew = ": the bank knew the key" if hit.crash.where == "gap" else ""
            self._tell("↻", f"order {order}: {waited}, charged once{knew}", "green")

    def _follow_zombie(self, hit: Hit, events: Sequence[dict[str, object]]) -> None:
        now, order = time.monotonic(), hit.crash.order_id
        asleep_s = now - hit.at
        if hit.woken_at is None:
            redone = self.lane.is_recorded(hit.report)
            if (asleep_s >= PAUSED_LEASES * self._lease_s and redone) or asleep_s >= PATIENCE_S:
                self.crew.wake(hit.member)
                hit.woken_at = now
                other = redone and self.lane.letter != "A"
                meanwhile = f", meanwhile another did order {order}" if other else ""
                self._tell("↻", f"woke {hit.member.name} after {asleep_s:.1f} s{meanwhile}", "yellow")
            return
        patient = now - hit.woken_at < PATIENCE_S
        if self.lane.letter == "A":
            hit.over = self._bank.times("A", order) > 0 or not patient
        elif self.lane.letter == "B":
            times = self._bank.times("B", order)
            hit.over = times > 1 or not patient
            if times > 1:
                self._tell("✗", f"order {order}: {hit.member.name} went on, charged {times} times", "red")
        else:
            hit.refused = any(
                event["event"] == "run_over"
                and event.get("job_id") == hit.report.job_id
                and event.get("run_no") == hit.report.run_no
                for event in events
            )
            hit.over = hit.refused or not patient
            if hit.refused:
                runs = f"(run {hit.report.run_no}, now {hit.run_no})"
                self._tell("✓", f"order {order}: late write refused {runs}", "green")

    def _tell(self, sign: str, text: str, colour: str) -> None:
        self._story.tell(self.lane.letter, sign, text, colour)
