"""The worker command: one process, or a parent that keeps several; signals; reload in development."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from queue import SimpleQueue

from ..app import events
from ..app.events import emit
from ..app.finding import find_app
from .health import serve_health
from .options import WorkerOptions
from .reload import changed_files, snapshot
from .worker import Worker

logger = logging.getLogger("dutiful.worker")

RESTART_S = 1.0
WATCH_S = 0.5
SAME_S = 0.5
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EXIT_RELOAD = 77
"""A child under --watch ends with it when its code has changed."""

_PROCESS_NO = "DUTIFUL_PROCESS_NO"


def main(app_path: str, options: WorkerOptions) -> int:
    """Run workers until they are told to stop; returns the exit code."""
    if os.environ.get(_PROCESS_NO) is None and (options.processes > 1 or options.watch):
        return Parent(options).run()
    return one(app_path, options)


def one(app_path: str, options: WorkerOptions) -> int:
    """One worker in this process. Its threads may be stuck in bodies: the end is os._exit."""
    app = find_app(app_path)
    worker = Worker(app, options, app_path=app_path)
    is_child = os.environ.get(_PROCESS_NO) is not None
    reload = threading.Event()
    # A handler runs wherever the main thread stands, perhaps within the lock of the very event that it
    # would set, and would then wait for itself: it only notes the signal, and a thread obeys.
    told: SimpleQueue[tuple[int, float]] = SimpleQueue()

    def obey() -> None:
        told_at = 0.0
        while True:
            number, at = told.get()
            # A Ctrl-C comes to a child twice, from the terminal and passed on by its parent: that is one.
            same = number == signal.SIGINT and is_child and at - told_at < SAME_S
            if number == signal.SIGHUP:
                reload.set()
                worker.drain()
                continue
            if not worker._draining.is_set():
                worker.drain()
            elif not same:
                worker.halt()
            told_at = at

    threading.Thread(target=obey, name="dutiful-signals", daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: told.put((number, time.monotonic())))
    health = None if options.health is None else serve_health(worker, options.health)
    if options.watch:
        threading.Thread(target=_watch, args=(worker, reload), daemon=True).start()
    gc.freeze()  # what is loaded stays: collections need not look at it again and again
    try:
        worker.run()
    finally:
        if health is not None:
            health.shutdown()
    stuck = worker.threads.busy
    app.close()
    code = 0
    if reload.is_set():
        code = EXIT_RELOAD
        if os.environ.get(_PROCESS_NO) is None:
            _again()
    if stuck:
        sys.stdout.flush()
        sys.stderr.flush()
        logging.shutdown()
        os._exit(code)
    return code


def _again() -> None:
    """Become the same command anew, with the code as it is now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _watch(worker: Worker, reload: threading.Event) -> None:
    before = snapshot()
    while not worker._draining.wait(WATCH_S):
        if changed := changed_files(before):
            emit(logger, logging.INFO, events.CODE_CHANGED, files=", ".join(changed[:3]))
            reload.set()
            worker.drain()
            return


class Parent:
    """Keeps child workers: starts them anew when they die, passes signals on."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping = False
        self._told: deque[int] = deque()
        self._started: dict[int, float] = {}

    def run(self) -> int:
        """Until all children have ended after a stop (or because they were empty)."""
        # Noted only: a handler may run between the start of a child and the note of it.
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: self._told.append(number))
        for no in range(self._options.processes):
            self._start(no)
        worst = 0
        while self._children:
            while self._told:
                told = self._told.popleft()
                self._stopping = self._stopping or told != signal.SIGHUP
                self._signal(told)
            for no, child in list(self._children.items()):
                code = child.poll()
                if code is None:
                    continue
                del self._children[no]
                if self._stopping or (code == 0 and self._options.until_empty):
                    worst = worst or max(code, 0)
                elif code in (2, 4, 5):  # it said what is wrong; starting it again would say it again
                    worst = code
                    self._stopping = True
                    self._signal(signal.SIGTERM)
                else:
                    if code != EXIT_RELOAD:
                        emit(logger, logging.ERROR, events.CHILD_ENDED, process=no, exit=code)
                        time.sleep(max(0.0, RESTART_S - (time.monotonic() - self._started[no])))
                    if not self._stopping:
                        self._start(no)
            time.sleep(0.05)
        return worst

    def _start(self, no: int) -> None:
        self._started[no] = time.monotonic()
        self._children[no] = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]], env=os.environ | {_PROCESS_NO: str(no)}
        )

    def _signal(self, number: int) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)
