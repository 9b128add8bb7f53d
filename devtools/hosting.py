"""Runs a server program in a folder of its own, and leaves neither behind.

The program runs as an ordinary user even when we are root, listens on the loopback address only, and
is out of reach of a Ctrl-C in our terminal: we stop it in order. It ends, and its folder goes, when
the `with` block is left, when our program ends, and when our program is killed: for this last case a
guard process (`guard.py`) watches over us.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOOK_EVERY_S = 0.02
SOCKET_FOLDER_CHARS_MAX = 40  # a socket's whole path has room for about 100
PORT_TAKEN = "Address already in use"  # by another program, between our look for a free one and the start
NOT_GONE = "pre-existing shared memory block"  # children of a postmaster that was killed have yet to notice
ORDINARY_USERS = ("postgres", "nobody")

StopMode = Literal["smart", "fast", "immediate", "kill"]


class ServerFailed(Exception):
    """A server did not start, or ended by itself; the message ends with its own last words."""


class Hosted:
    """What the servers have in common. A kind of server fills in the methods at the end."""

    kind: str
    stop_signals: dict[StopMode, signal.Signals]

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or new_root_path(self.kind)
        self.port = 0
        self.user = _ordinary_user()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.root / "server.log"

    def start(self) -> Self:
        """Starts the server, for the first time or again; returns when it answers."""
        try:
            if self._guard is None:
                self._move_in()
            self._start_until(time.monotonic() + START_TIMEOUT_S)
        except BaseException:
            self.remove()
            raise
        return self

    def stop(self, mode: StopMode = "fast") -> None:
        """Ends the server and keeps its data, so that `start` goes on with them.

        "smart" waits for clients to leave, "fast" ends their transactions, "immediate" leaves recovery
        to the next start, "kill" is a kill -9.
        """
        if self._process is None:
            return
        self._process.send_signal(self.stop_signals.get(mode, signal.SIGKILL))
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stops and starts on the same port with the same data."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stops the server and removes its folder. May be called twice."""
        atexit.unregister(self.remove)
        self.stop("immediate")
        for _ in range(100):  # the last children of a server that was killed may still be writing
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                break
            time.sleep(0.05)
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait(STOP_TIMEOUT_S)
            self._guard = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.remove()

    # What a kind of server fills in

    @property
    def pid_file(self) -> Path:
        """Where the server's pid stands, for the guard."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Fills the folder before the first start."""

    def command(self) -> list[str]:
        """The command that runs the server in the foreground, on `self.port`."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server that was started last takes connections now."""
        raise NotImplementedError

    # What it takes

    def call(self, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a program as the server's user, to its end."""
        return subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.root,
            env=_plain_environment(),
            **self._as_user(),
        )

    def _move_in(self) -> None:
        self.root.mkdir(mode=0o700, exist_ok=True)
        self._guard = _start_guard(self.root, self.pid_file)
        atexit.register(self.remove)
        if self.user:
            os.chown(self.root, self.user.pw_uid, self.user.pw_gid)
        self.port = free_port()
        self.prepare()

    def _start_until(self, deadline: float) -> None:
        """Tries again while what stands in the way may go away."""
        while True:
            try:
                return self._start_once(deadline)
            except ServerFailed as failure:
                words = str(failure)
                if time.monotonic() > deadline or not any(
                    reason in words for reason in (PORT_TAKEN, NOT_GONE)
                ):
                    raise
                if PORT_TAKEN in words:  # otherwise a port is kept over a restart, since clients know it
                    self.port = free_port()
            time.sleep(LOOK_EVERY_S)

    def _start_once(self, deadline: float) -> None:
        with self.log_file.open("ab") as log:
            log_begins = log.tell()
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                env=_plain_environment(),
                start_new_session=True,
                **self._as_user(),
            )
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop("kill")
                words = self.log_file.read_bytes()[log_begins:].decode(errors="replace")
                raise ServerFailed(f"{self.kind} server did not start:\n{words[-2000:]}")
            time.sleep(LOOK_EVERY_S)

    def _as_user(self) -> dict[str, Any]:
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}


def new_root_path(kind: str) -> Path:
    """A path that is not taken, short enough for a socket, below a folder that every user can reach."""
    folders = [Path(tempfile.gettempdir()), Path("/tmp")]
    fit = [path for path in folders if len(str(path)) < SOCKET_FOLDER_CHARS_MAX and _open_to_all(path)]
    return (fit or folders)[0] / f"dutiful-{kind}-{os.getpid()}-{os.urandom(3).hex()}"


def free_port() -> int:
    """A port of the loopback address that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def says(port: int, command: bytes, answer: bytes) -> bool:
    """Whether a server on the loopback address answers a command as it should."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(command)
            return connection.recv(len(answer)) == answer
    except OSError:
        return False


def _open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _ordinary_user() -> pwd.struct_passwd | None:
    """Whom a server runs as: PostgreSQL refuses to run as root. None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ORDINARY_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerFailed(f"a server must not run as root, and there is no user {' or '.join(ORDINARY_USERS)}")


def _plain_environment() -> dict[str, str]:
    """Without PGDATA, PGPORT and their like, and with messages that we can read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _start_guard(root: Path, pid_file: Path) -> subprocess.Popen[bytes]:
    guard = Path(__file__).with_name("guard.py")
    command: Sequence[str] = [sys.executable, "-I", "-S", str(guard), str(root), str(pid_file)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
