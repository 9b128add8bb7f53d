"""Clears up after a program that was killed: ends the server it had started and removes its folder.

Run as a program of its own, `guard.py FOLDER PIDFILE`, with its standard input held open by the
program that it watches. When that one is gone, in whatever way, the pipe closes; a child that it left
behind may hold the pipe open, so the guard also looks whether its parent is still the one it had.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 0.5
STOP_GRACE_S = 5.0
REMOVE_TRIES = 200


def watch(folder: Path, pid_file: Path) -> None:
    """Returns once the watched program is gone and nothing of it is left."""
    parent = os.getppid()
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_EVERY_S)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    _end_server(folder, pid_file)
    for _ in range(REMOVE_TRIES):
        if not folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def _end_server(folder: Path, pid_file: Path) -> None:
    """Asks the server to end at once, then makes it."""
    deadline = time.monotonic() + STOP_GRACE_S
    signals = [signal.SIGINT, signal.SIGKILL]
    while (pid := _server_pid(folder, pid_file)) is not None:
        if len(signals) == 2 or (signals and time.monotonic() > deadline):
            os.kill(pid, signals.pop(0))
        elif not signals and time.monotonic() > deadline + STOP_GRACE_S:
            return
        time.sleep(0.05)


def _server_pid(folder: Path, pid_file: Path) -> int | None:
    """The server's pid if it runs: the number in the file, if that process lives in the folder."""
    try:
        pid = int(pid_file.read_text().split()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    try:
        home = os.readlink(f"/proc/{pid}/cwd")  # not the command line: Redis rewrites its own
    except OSError:
        return pid if not Path("/proc/self").exists() else None  # a system without /proc
    return pid if Path(home).is_relative_to(folder) else None


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watch(Path(sys.argv[1]), Path(sys.argv[2]))
