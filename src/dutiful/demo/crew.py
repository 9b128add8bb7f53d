"""The worker processes of one lane: started, started anew when they were killed, and ended for good."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .places import VARIABLE, Folder

SIZE = 4
SURPRISES_MAX = 8
"""So many workers may end that nobody killed; then something is wrong that starting anew does not mend."""
END_S = 20.0
LOG_CHARS = 600


class CrewFailed(Exception):
    """The workers of a lane do not stay alive."""


class Member:
    """One place in a crew; its process may be replaced, its name stays."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.killed = False
        """Whether it was we who ended this process."""


class Crew:
    """The workers of a lane, each in a process group of its own, so that Ctrl-C is ours alone."""

    def __init__(self, lane: str, command: Sequence[str], folder: Folder) -> None:
        self.lane = lane
        self._command = [sys.executable, *command]
        self._log = folder.log(lane).open("ab")
        self._environment = environment(folder)
        self._folder = folder
        self._members: list[Member] = []
        self._surprises = 0

    def start(self) -> None:
        """All of them."""
        for number in range(1, SIZE + 1):
            self._members.append(Member(f"w-{number}", self._process()))

    def tend(self) -> None:
        """Start anew who has ended. Raises CrewFailed if too many do that by themselves."""
        for member in self._members:
            code = member.process.poll()
            if code is None:
                continue
            if not member.killed:
                self._surprises += 1
                if self._surprises > SURPRISES_MAX:
                    what = f"the workers of lane {self.lane} end by themselves, the last with {code}"
                    raise CrewFailed(f"{what}: {self._last()}")
            member.process, member.killed = self._process(), False

    def find(self, pid: int, parent: int) -> Member | None:
        """Whose process it is that reports, or whose child."""
        return next((member for member in self._members if member.process.pid in (pid, parent)), None)

    def kill(self, member: Member) -> bool:
        """SIGKILL, and wait until it is dead; whether that is what it died of."""
        member.killed = True
        member.process.kill()
        return member.process.wait(END_S) == -signal.SIGKILL

    def pause(self, member: Member) -> None:
        """SIGSTOP."""
        member.process.send_signal(signal.SIGSTOP)

    def wake(self, member: Member) -> None:
        """SIGCONT."""
        member.process.send_signal(signal.SIGCONT)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def drain(self) -> None:
        """SIGTERM: what runs may finish. Returns at once."""
        for member in self._members:
            member.killed = True
            member.process.send_signal(signal.SIGTERM)

    def wait(self, until: float) -> bool:
        """Whether all have ended by themselves until then (monotonic)."""
        for member in self._members:
            with contextlib.suppress(subprocess.TimeoutExpired):
                member.process.wait(max(0.0, until - time.monotonic()))
        return all(member.process.poll() is not None for member in self._members)

    def destroy(self) -> None:
        """SIGKILL to all that is left of them, children included."""
        for member in self._members:
            if member.process.poll() is None:  # else its number may be another's by now
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(member.process.pid, signal.SIGKILL)
        for member in self._members:
            member.process.wait()
        self._log.close()

    def _process(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._folder.path,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
        )

    def _last(self) -> str:
        text = self._folder.log(self.lane).read_text(errors="replace")[-LOG_CHARS:].strip()
        return " / ".join(line.strip() for line in text.splitlines()[-4:]) or "they say nothing"


def environment(folder: Folder) -> dict[str, str]:
    """For every process of the demonstration: the folder, and the modules that can be imported here."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    return os.environ | {VARIABLE: str(folder.path), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
