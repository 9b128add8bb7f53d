"""The pipe between a worker and a child process: one lease there, one ending back.

Run as ``python -m dutiful.worker.child_process MODULE:APP IN OUT LIFE`` in the child. It reads leases
from one descriptor and writes endings to another, so that what a body prints goes where it always
went; the third says, by its end, that the parent is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..model.errors import InvalidOption, RunError
from ..model.jobs import Ending, Lease

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

T = TypeVar("T")

START_S = 60.0
_LENGTH = struct.Struct("!I")


class ChildProcess:
    """The parent's end of a child."""

    def __init__(self, process: subprocess.Popen[bytes], inward: int, outward: int, life: int) -> None:
        self._process = process
        self._in = inward
        self._out = outward
        self._life = life
        self.pid = process.pid

    @classmethod
    def start(cls, app_path: str) -> ChildProcess:
        """Start a child that imports the app; it is of use when it is :meth:`ready`."""
        assert app_path
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        their_life, our_life = os.pipe()
        theirs = (their_in, their_out, their_life)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, app_path, *map(str, theirs)],
            pass_fds=theirs,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        for descriptor in theirs:
            os.close(descriptor)
        return cls(process, our_in, our_out, our_life)

    def ready(self) -> bool:
        """Wait until it says that it is ready. False if it ended, or took longer than ``START_S``."""
        try:
            return self._read(START_S) == b"ready"
        except TimeoutError:
            return False

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def send(self, lease: Lease) -> None:
        """Hand over a job."""
        fields = {name: getattr(lease, name) for name in Lease.__struct_fields__}
        _write(self._out, msgspec.msgpack.encode(fields))

    def receive(self, timeout_s: float | None) -> Ending | None:
        """The ending; None if the process died. Raises TimeoutError when the time is up."""
        data = self._read(timeout_s)
        return None if data is None else msgspec.msgpack.decode(data, type=Ending)

    def kill(self) -> None:
        """SIGKILL, now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """Let an idle child end by itself."""
        os.close(self._out)
        self._out = -1
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._shut()

    def reap(self) -> None:
        """Collect a child that died or was killed."""
        self._process.wait()
        self._shut()

    def exit_text(self) -> str:
        """How it ended, for people: ``signal SIGSEGV`` or ``exit 3``."""
        code = self._process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"signal {signal.Signals(-code).name}"
        return f"exit {code}"

    def _shut(self) -> None:
        for descriptor in (self._in, self._out, self._life):
            if descriptor >= 0:
                os.close(descriptor)
        self._in = self._out = self._life = -1

    def _read(self, timeout_s: float | None) -> bytes | None:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        head = _read_exactly(self._in, _LENGTH.size, until)
        return None if head is None else _read_exactly(self._in, _LENGTH.unpack(head)[0], until)


def where_is(app: App) -> str:
    """MODULE:VARIABLE of an app that some imported module holds; "" if none does."""
    for name, module in list(sys.modules.items()):
        if name == "__main__" or name.startswith("dutiful"):
            continue
        for variable, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                return f"{name}:{variable}"
    return ""


def nowhere() -> InvalidOption:
    """The error of a job that wants a child, where :func:`where_is` found nothing."""
    return InvalidOption(
        "A child process cannot import this app: it is in no module's variable.",
        hint="Keep the App in a module-level variable, and start: dutiful worker MODULE:APP",
    )


def out_of_reach(task: str) -> InvalidOption:
    """The error of a job whose child would have to write into the parent's memory."""
    return InvalidOption(
        f"{task} is to run in a child process, which cannot reach a store in memory.",
        hint='Keep the jobs in a file ("sqlite:///jobs.db"), or leave isolation="process" away.',
    )


def _write(descriptor: int, data: bytes) -> None:
    whole = _LENGTH.pack(len(data)) + data
    while whole:
        whole = whole[os.write(descriptor, whole) :]


def _read_exactly(descriptor: int, size: int, until: float | None) -> bytes | None:
    found = b""
    while len(found) < size:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        ready, _, _ = select.select([descriptor], [], [], left)
        if not ready:
            raise TimeoutError
        piece = os.read(descriptor, size - len(found))
        if not piece:
            return None
        found += piece
    return found


def _die_with_parent(life: int) -> None:
    """End when the parent does, also in the middle of a body: then the kernel closes its end.

    (Not PR_SET_PDEATHSIG: that fires when the parent's *thread* ends that started us.)
    """

    def watch() -> None:
        os.read(life, 1)
        os._exit(1)

    threading.Thread(target=watch, name="dutiful-life", daemon=True).start()


def main(argv: list[str]) -> None:
    """The child: import, say "ready", then one job after the other until the pipe ends."""
    from ..app.finding import find_app
    from .run import acarry_out, carry_out, run_of

    app_path, inward, outward, life = argv[0], *map(int, argv[1:4])
    _die_with_parent(life)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to handle
    app = find_app(app_path)
    with Looped() as loop:
        _call(loop, app.starters)
        _write(outward, b"ready")
        while (head := _read_exactly(inward, _LENGTH.size, None)) is not None:
            data = _read_exactly(inward, _LENGTH.unpack(head)[0], None)
            if data is None:
                break
            lease = Lease(**msgspec.msgpack.decode(data))
            task, run = app.find_task(lease.task), run_of(lease)
            if task.is_async:
                ending = loop.run(_to_its_end(acarry_out(app, task, lease, run), task, lease))
            else:
                ending = carry_out(app, task, lease, run)
            _write(outward, msgspec.msgpack.encode(ending))
        _call(loop, app.stoppers)
        loop.leave(app)


class Looped(contextlib.ExitStack):
    """One event loop for all that is async here, made when something is: connections are a loop's own."""

    _runner: Any = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it to its end."""
        import asyncio

        if self._runner is None:
            self._runner = self.enter_context(asyncio.Runner())
        result: T = self._runner.run(coroutine)
        return result

    def leave(self, app: App) -> None:
        """Close the app's connections that are this loop's."""
        if self._runner is not None:
            self.run(app.leave_loop())


async def _to_its_end(body: Awaitable[Ending], task: Task[..., Any], lease: Lease) -> Ending:
    import asyncio

    from .run import failed

    try:
        return await body
    except asyncio.CancelledError:  # nobody cancels here from outside: a child is killed
        return failed(task, lease, RunError("The body was cancelled from inside."))


def _call(loop: Looped, hooks: list[Any]) -> None:
    import asyncio

    for hook in hooks:
        value = hook()
        if asyncio.iscoroutine(value):
            loop.run(value)


if __name__ == "__main__":
    main(sys.argv[1:])
