"""The order that lane C cannot do: it dies, its cause is mended, and a person's command brings it back."""

from __future__ import annotations

import json
import time

from .commands import give
from .lanes import DutifulLane
from .options import Pace
from .page import Page
from .places import Folder
from .story import Story


class Poison:
    """Waits until the order is dead, then mends and retries it."""

    def __init__(
        self, order_id: str, lane: DutifulLane, folder: Folder, story: Story, page: Page, *, pace: Pace
    ) -> None:
        self.order_id = order_id
        self.retried: list[str] = []
        """The jobs that were brought back."""
        self.by_visitor = False
        """Whether somebody did it on the page."""
        self.done = False
        self._lane, self._folder, self._story, self._page = lane, folder, story, page
        self._pace = pace
        self._seen: set[str] = set()
        self._invited: dict[str, float] = {}

    def follow(self) -> None:
        """Look whether it is time for the next step. Raises CommandFailed."""
        states = {self._lane.job(job_id).state for job_id in self.retried if not self.done}
        if states == {"done"}:
            self.done = True
            self._story.tell("C", "✓", f"order {self.order_id}: retried and done", "green")
        dead = set()
        for line in self._lane.dead():
            if json.loads(line.args).get("order_id") != self.order_id or line.id in self.retried:
                continue
            dead.add(line.id)
            if line.id not in self._seen:
                self._seen.add(line.id)
                tries = "1 try" if line.attempt == 1 else f"{line.attempt} tries"
                what = f"order {self.order_id} is dead after {tries}: {line.message}"
                self._story.tell("C", "†", what, "yellow")
                self._folder.mended.touch()
            elif line.id not in self._invited:
                if self._page.settled:
                    self._invited[line.id] = time.monotonic()
                    self._invite(line.id)
            elif time.monotonic() - self._invited[line.id] >= self._patience_s():
                self._retry(line.id)
                self._back(line.id)
        for job_id in self._seen - dead - set(self.retried):
            self.by_visitor = True
            self._story.tell(
                "C", "↻", f"order {self.order_id}: retried by somebody else, on the page", "yellow"
            )
            self._back(job_id)

    def _back(self, job_id: str) -> None:
        self.retried.append(job_id)
        self.done = False

    def _patience_s(self) -> float:
        return self._pace.visitor_s if self._page.visited else self._pace.poison_s

    def _invite(self, job_id: str) -> None:
        """Its cause is mended at once; who has the page open may press the button."""
        wait = self._patience_s()
        if wait < 1:
            return
        where = f"it is retried in {wait:.0f} s"
        if self._page.address:
            where = f"press Retry on {self._page.link(f'jobs/{job_id}')}, or wait {wait:.0f} s"
        self._story.tell("C", "†", f"its cause is mended; {where}", "yellow")

    def _retry(self, job_id: str) -> None:
        """As a person would, by the command line."""
        reason = "cards of that kind are understood now"
        self._story.tell("C", "↻", f'dutiful dead retry {job_id} --reason "{reason}"', "yellow")
        words = ["dead", "retry", job_id, "--store", self._lane.url, "--reason", reason, "--as", "demo"]
        give(self._folder, words)
