"""Everything that the demonstration has running: folder, bank, three lanes, their workers; and its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..model.errors import InvalidOption
from .bank import Bank
from .crew import Crew, environment
from .lanes import DutifulLane, Lane, NaiveLane
from .orders import Order
from .page import Page
from .places import Folder, Settings

DRAIN_S = 20.0
REMOVALS_MAX = 5


class Stage:
    """Set up by ``with``; at its end no process is left, and the folder is gone unless it is kept.

    Raises InvalidOption where no folder can be made.
    """

    def __init__(self, orders: Sequence[Order], settings: Settings, *, keep: bool) -> None:
        self._orders, self._settings, self._keep = orders, settings, keep
        self.count = len(orders)

    def __enter__(self) -> Stage:
        try:
            self.folder = Folder(Path(tempfile.mkdtemp(prefix="dutiful-demo-")).resolve())
        except OSError as error:
            what = f"No temporary folder can be made: {error.strerror or error}."
            raise InvalidOption(what, hint="Set TMPDIR to a folder that can be written.") from None
        self.lanes: list[Lane] = []
        self._running: list[Crew] = []
        self._producer: subprocess.Popen[bytes] | None = None
        self.page = Page(self.folder)
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _set_up(self) -> None:
        folder, settings = self.folder, self._settings
        folder.stops.mkdir()
        folder.reports.mkdir()
        folder.write_settings(settings)
        self.bank = Bank(folder.bank)
        self.bank.open()
        self.c = DutifulLane(folder, settings.lane_c, settings.lease_s)
        self.lanes += [NaiveLane("A", "ack first", folder), NaiveLane("B", "ack last", folder), self.c]
        for lane in self.lanes:
            lane.open(self._orders)
        self.crews = {lane.letter: Crew(lane.letter, lane.command(), folder) for lane in self.lanes}

    def start(self) -> None:
        """Four workers a lane, who enqueues for lane C, and the page where it can be had."""
        for crew in self.crews.values():
            self._running.append(crew)
            crew.start()
        if not self.page.missing():
            self.page.start()
        with self.folder.log("producer").open("ab") as log:
            self._producer = subprocess.Popen(
                [sys.executable, "-m", "dutiful.demo.producer"],
                env=environment(self.folder),
                cwd=self.folder.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def produced(self) -> int | None:
        """How the producer has ended; None while it works."""
        return None if self._producer is None else self._producer.poll()

    def drain(self) -> bool:
        """Let all workers finish what they have in hand; whether they did."""
        for crew in self._running:
            crew.drain()
        until = time.monotonic() + DRAIN_S
        return all([crew.wait(until) for crew in self._running])

    def work_on(self) -> Crew:
        """Workers for lane C once more, for who looks at the page after the end."""
        crew = Crew(self.c.letter, self.c.command(), self.folder)
        self._running.append(crew)
        crew.start()
        return crew

    def __exit__(self, *error: object) -> None:
        self.page.stop()
        for crew in self._running:
            crew.destroy()
        if self._producer is not None and self._producer.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._producer.pid, signal.SIGKILL)
            self._producer.wait()
        for lane in self.lanes:
            lane.close()
        if not self._keep:
            self._remove()

    def _remove(self) -> None:
        for _ in range(REMOVALS_MAX):  # a child of a killed worker may be writing its last
            shutil.rmtree(self.folder.path, ignore_errors=True)
            if not self.folder.path.exists():
                return
            time.sleep(0.1)
