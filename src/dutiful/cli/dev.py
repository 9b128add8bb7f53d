"""``dutiful dev``: a worker that reloads and the page, in one terminal; Ctrl-C ends both."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from ..model.queues import parse_queues
from .exits import BAD, DONE
from .lazy import SharedCommand
from .loading import VARIABLE, app_path, load_app
from .session import Session, pass_session

LOOK_S = 0.1
ALONE_S = 3.0
"""The page ends at once on a Ctrl-C: if it still runs after that, only this process was told."""
END_S = 40.0


@click.command("dev", cls=SharedCommand)
@click.argument("app", metavar="[MODULE:VAR]", required=False)
@click.option("-q", "--queues", metavar="LIST", help="As for dutiful worker.")
@click.option("-c", "--concurrency", type=click.IntRange(1), metavar="N", help="As for dutiful worker.")
@click.option(
    "--bind", default="127.0.0.1:7878", metavar="HOST:PORT", help="Where the page listens (127.0.0.1:7878)."
)
@click.option("--env", default="development", metavar="NAME", help="Stands on every page (development).")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@pass_session
def dev_command(
    session: Session,
    app: str | None,
    queues: str | None,
    concurrency: int | None,
    bind: str,
    env: str,
    opens: bool,
) -> int:
    """Run a worker that starts anew when the code changes, and the web page, until Ctrl-C.

    The page is entered by the address that is printed, once, as that of dutiful web. Ctrl-C ends both:
    what runs may finish.
    """
    from ..web.server import Alone, Standing, is_loopback, parse_bind

    if session.store is not None:
        raise click.UsageError("A worker needs the app's code, not only a store: give MODULE:VAR.")
    if app is not None and session.app not in (None, app):
        raise click.UsageError("The app is given twice, as MODULE:VAR and by --app.")
    if queues is not None:
        parse_queues(queues)
    if not is_loopback(parse_bind(bind)[0]):
        raise click.UsageError(
            f"--bind {bind}: this page is for this machine alone (127.0.0.1). For others: dutiful web."
        )
    path = app_path(app or session.app)
    loaded = load_app(path)  # what is wrong with it, or with the page, is said once and here
    try:
        Alone(loaded, Standing(bind)).close()
    finally:
        loaded.close()
    ours = ["--parent", str(os.getpid())]
    quiet = ["--quiet"] if session.quiet else []
    page = ["web", "--app", path, "--bind", bind, "--env", env, *quiet, *(["--open"] if opens else [])]
    worker = ["worker", path, "--watch", *quiet, *(["--json"] if session.json else [])]
    worker += [*(["-q", queues] if queues else []), *(["-c", str(concurrency)] if concurrency else [])]
    with _signals() as told:
        running = [_start([*words, *ours], path) for words in (page, worker)]
        try:
            return _follow(running, told)
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                process.wait()


def _start(words: Sequence[str], path: str) -> subprocess.Popen[bytes]:
    # In this process group, so that a breakpoint in a task can read from the terminal.
    return subprocess.Popen([sys.executable, "-m", "dutiful", *words], env=os.environ | {VARIABLE: path})


def _follow(running: list[subprocess.Popen[bytes]], told: list[int]) -> int:
    """Until both have ended, which they do together: the code of the one that ended badly, if one did."""
    page, _worker = running
    stop_at: float | None = None
    passed_on, looked = 0, False
    while any(process.poll() is None for process in running):
        now = time.monotonic()
        if stop_at is None and told:
            stop_at = now
        elif stop_at is None and any(process.poll() is not None for process in running):
            stop_at = now
            _pass_on(running, signal.SIGTERM)
        for number in told[passed_on:]:
            passed_on += 1
            if number != signal.SIGINT:  # that one a terminal sends to all of them by itself
                _pass_on(running, number)
        if stop_at is not None and not looked and now - stop_at >= ALONE_S:
            looked = True
            if told[:1] == [signal.SIGINT] and page.poll() is None:
                _pass_on(running, signal.SIGINT)
        if stop_at is not None and now - stop_at >= END_S:
            return BAD
        time.sleep(LOOK_S)
    if told:
        return DONE
    return next((code for process in running if (code := process.returncode) > 0), DONE)


def _pass_on(running: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in running:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM are noted."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
