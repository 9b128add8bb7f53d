"""The order that lane C cannot do: it dies, its cause is mended, and a person's command brings it back."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from .crew import environment
from .lanes import DutifulLane
from .places import Folder
from .story import Story

COMMAND_S = 60.0


class RetryFailed(Exception):
    """``dutiful dead retry`` did not do what it is for."""


class Poison:
    """Waits until the order is dead, then mends and retries it."""

    def __init__(
        self, order_id: str, lane: DutifulLane, folder: Folder, story: Story, *, look_s: float
    ) -> None:
        self.order_id = order_id
        self.retried: list[str] = []
        """The jobs that were brought back."""
        self.done = False
        self._lane, self._folder, self._story = lane, folder, story
        self._look_s = look_s
        self._seen: dict[str, float] = {}

    def follow(self) -> None:
        """Look whether it is time for the next step. Raises RetryFailed."""
        states = {self._lane.job(job_id).state for job_id in self.retried if not self.done}
        if states == {"done"}:
            self.done = True
            self._story.tell("C", "✓", f"order {self.order_id}: retried and done", "green")
        for line in self._lane.dead():
            if json.loads(line.args).get("order_id") != self.order_id or line.id in self.retried:
                continue
            if line.id not in self._seen:
                self._seen[line.id] = time.monotonic()
                tries = "1 try" if line.attempt == 1 else f"{line.attempt} tries"
                what = f"order {self.order_id} is dead after {tries}: {line.message}"
                self._story.tell("C", "†", what, "yellow")
            elif time.monotonic() - self._seen[line.id] >= self._look_s:
                self._folder.mended.touch()
                self._retry(line.id)
                self.retried.append(line.id)
                self.done = False

    def _retry(self, job_id: str) -> None:
        """As a person would, by the command line."""
        reason = "cards of that kind are understood now"
        self._story.tell("C", "↻", f'mended; dutiful dead retry {job_id} --reason "{reason}"', "yellow")
        command = ["dead", "retry", job_id, "--store", self._lane.url, "--reason", reason, "--as", "demo"]
        # In a process group of its own: a Ctrl-C is for the demonstration to see to.
        done = subprocess.run(
            [sys.executable, "-m", "dutiful", *command],
            env=environment(self._folder),
            cwd=self._folder.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            process_group=0,
        )
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip()
            raise RetryFailed(f"dutiful dead retry ended with {done.returncode}: {said}")
