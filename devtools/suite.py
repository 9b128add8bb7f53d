"""The plan of a test run: what is run, in which order, and what is said at the end.

`./dev test` runs the checks and the suite on Python 3.11: first side by side on the cores, then, one at a
time, the tests that are marked `serial`. Those wait for most of their time; so part of the suite is run
beside them on the newest Python found, with a low priority, and its output is shown when it has ended.
With pytest's arguments it runs just those tests. Every step is run even if one before it failed; the
last lines name what failed and what was skipped because this machine lacks it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from devtools import environments, needs, pythons
from devtools.environments import Environment
from devtools.places import ROOT, say

NOTHING_RAN = 5  # pytest's exit code for an empty selection
REPORT = "DUTIFUL_TEST_REPORT"  # the number of a pipe into which the conftest writes what came of a run
INTERRUPT_GRACE_S = 15.0
STOP_GRACE_S = 30.0

# What the newest Python runs unless --full-python asks for all: quick, and broad.
MEETS_SQLITE3 = (
    "bound", "claims", "effects", "enqueue", "exactly_once", "fencing", "ledger", "newer", "once", "once_per",
    "sqlite_files", "starts", "stray_endings", "transitions", "versions",
)  # fmt: skip
SELECTION_FOR_NEWEST = (
    "tests/unit",
    "tests/house/test_imports.py",
    *(f"tests/contract/test_{name}.py" for name in MEETS_SQLITE3),
)
NEWEST = "not serial and not postgres"
"""What another Python changes shows without a server: the syntax, the standard library, its sqlite3."""
NEWEST_NAMES = "not apsw and not arun"
"""And not by apsw, which brings its own SQLite, nor by both faces, which are one machine."""
QUICK = "not (serial or postgres or redis or chromium)"
SIDE_BY_SIDE = ("--dist", "loadfile", "--no-loadscope-reorder")
"""File by file, in the order that `tests/order.py` gives them: the long ones first."""


@dataclass
class Tally:
    """What came of all runs of pytest so far."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    lacking: dict[str, int] = field(default_factory=dict)  # by need, how many tests were skipped
    failures: list[str] = field(default_factory=list)  # the steps that did not succeed

    def add(self, report: str) -> None:
        """Takes in what the conftest wrote; nothing, if pytest did not get that far."""
        if not report:
            return
        counts = json.loads(report)
        self.passed += counts["passed"]
        self.failed += counts["failed"]
        self.skipped += counts["skipped"]
        for name, number in counts["lacking"].items():
            self.lacking[name] = self.lacking.get(name, 0) + number


def run(environment: Environment, arguments: Sequence[str]) -> int:
    """`./dev test`: everything, or the tests that pytest's arguments select."""
    own = {"--all", "--full-python"}
    asked = own.intersection(arguments)
    selection = [argument for argument in arguments if argument not in own]
    began = time.monotonic()
    tally = Tally()
    signal.signal(signal.SIGTERM, _terminated)

    environment = environments.ready(environment, "dev")
    if not selection:
        say("checks")
        if check(environment, house=False) != 0:
            tally.failures.append("checks")
    needs.obtain_for_tests(environment)
    title = f"Python {environment.base.name}"
    if selection or "--full-python" in asked:
        _run_pytest(environment, selection, tally, title, may_be_empty=False)
        if "--full-python" in asked:
            _run_all_on_newest(environment, selection, tally)
    else:
        _run_everything(environment, tally, title)
    return _verdict(tally, fails_on_lack="--all" in asked, seconds=time.monotonic() - began)


def check(environment: Environment, *, house: bool) -> int:
    """ruff, mypy, and if asked the house tests; returns 0 if all are content."""
    steps = [
        [environment.program("ruff"), "check", "--quiet", "--output-format=concise", "."],
        [environment.program("ruff"), "format", "--check", "--quiet", "--output-format=concise", "."],
        [environment.program("mypy"), "--no-error-summary"],
    ]
    if house:
        steps.append([str(environment.python), "-m", "pytest", "-q", "tests/house", "-m", QUICK])
    failed = 0
    for step in steps:
        code = _call(step)
        words = " ".join([Path(step[0]).name, *step[1:]])
        say(f"{'ok    ' if code == 0 else 'FAILED'} {words}")
        failed += code != 0
    if failed:
        say("./dev format repairs the layout and what is simple")
    return 1 if failed else 0


def _run_everything(environment: Environment, tally: Tally, title: str) -> None:
    """The whole suite, and part of it on the newest Python beside the serial tests."""
    second = _newest_beside(environment)
    prepared = Prepared(second)
    _pytest(environment, ["-m", "not serial", *_workers()], tally, title, may_be_empty=False)
    newest = None
    if second is not None and prepared.wait(tally):
        selection = [folder for folder in SELECTION_FOR_NEWEST if (ROOT / folder).exists()]
        arguments = [*selection, "-m", NEWEST, "-k", NEWEST_NAMES, "-n", "2", *SIDE_BY_SIDE]
        newest = Beside(second, arguments, f"Python {second.base.name}")
    try:
        _pytest(environment, ["-m", "serial"], tally, f"{title}, serial", may_be_empty=True)
    except BaseException:
        if newest is not None:
            newest.stop()
        raise
    if newest is not None:
        newest.finish(tally)


def _newest_beside(environment: Environment) -> Environment | None:
    newest = pythons.newest_supported()
    if newest is None or newest.version == environment.base.version:
        say(f"no Python newer than {environment.base.name} found: nothing is run on one")
        return None
    return environments.second(newest)


def _run_all_on_newest(environment: Environment, selection: Sequence[str], tally: Tally) -> None:
    second = _newest_beside(environment)
    if second is not None:
        environments.ready(second, "dev")
        _run_pytest(second, selection, tally, f"Python {second.base.name}", may_be_empty=False)


class Prepared:
    """Makes the second environment while the tests of the first are under way."""

    def __init__(self, second: Environment | None) -> None:
        self._failed = False
        self._thread = threading.Thread(target=self._prepare, args=(second,), daemon=True)
        self._thread.start()

    def wait(self, tally: Tally) -> bool:
        """Whether it is there; what stood in the way was printed."""
        self._thread.join()
        if self._failed:
            tally.failures.append("the environment for the newest Python")
        return not self._failed

    def _prepare(self, second: Environment | None) -> None:
        try:
            if second is not None:
                environments.ready(second, "dev")
        except BaseException as error:
            self._failed = True
            say(f"FAILED: the environment for the newest Python: {error}")


class Beside:
    """A run of pytest beside another one: it yields to that, and says nothing before it has ended."""

    def __init__(self, environment: Environment, arguments: Sequence[str], title: str) -> None:
        self._title, self._arguments = title, arguments
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the run
        self._report, writer = os.pipe()
        polite = [nice, "-n", "10"] if (nice := shutil.which("nice")) else []
        say(f"pytest on {title} beside what follows; its output comes when both have ended")
        try:
            self._process = subprocess.Popen(
                [*polite, str(environment.python), "-m", "pytest", *arguments],
                cwd=ROOT,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
                env=_surroundings(environment, writer),
            )
        finally:
            os.close(writer)

    def finish(self, tally: Tally) -> None:
        try:
            code = self._process.wait()
        except BaseException:
            self.stop()
            raise
        say(f"pytest on {self._title}: {' '.join(self._arguments)}")
        self._output.seek(0)
        sys.stdout.flush()
        shutil.copyfileobj(self._output, sys.stdout.buffer)
        sys.stdout.flush()
        with open(self._report) as report:
            tally.add(report.read())
        if code != 0:
            tally.failures.append(f"pytest on {self._title} (exit code {code})")

    def stop(self) -> None:
        _end(self._process, first_wait_s=0)
        os.close(self._report)


def _run_pytest(
    environment: Environment, arguments: Sequence[str], tally: Tally, title: str, *, may_be_empty: bool
) -> None:
    """Once side by side, and once more, alone, for the tests that are marked serial."""
    arguments, marks = _take_marks(arguments)
    if _wants_one_process(arguments):
        selected = ["-m", marks] if marks else []
        _pytest(environment, [*arguments, *selected], tally, title, may_be_empty=may_be_empty)
        return
    also = f" and ({marks})" if marks else ""
    before = tally.passed + tally.failed + tally.skipped
    _pytest(
        environment, [*arguments, "-m", f"not serial{also}", *_workers()], tally, title, may_be_empty=True
    )
    _pytest(environment, [*arguments, "-m", f"serial{also}"], tally, f"{title}, serial", may_be_empty=True)
    if tally.passed + tally.failed + tally.skipped == before and not tally.failures:
        tally.failures.append(f"{title}: no test ran")


def _surroundings(environment: Environment, writer: int) -> dict[str, str]:
    """Of pytest and all that it starts: what is compiled once is kept, in the environment's own folder.

    The tests start thousands of processes, and a clone may belong to somebody else.
    """
    kept = {"PYTHONPYCACHEPREFIX": str(environment.path / "pycache"), REPORT: str(writer)}
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | kept


def _pytest(
    environment: Environment, arguments: Sequence[str], tally: Tally, title: str, *, may_be_empty: bool
) -> None:
    say(f"pytest on {title}: {' '.join(arguments)}")
    reader, writer = os.pipe()
    with open(reader) as report:
        try:
            command = [str(environment.python), "-m", "pytest", *arguments]
            code = _call(command, pass_fds=(writer,), env=_surroundings(environment, writer))
        finally:
            os.close(writer)
        tally.add(report.read())
    if code == NOTHING_RAN and may_be_empty:
        return
    if code != 0:
        tally.failures.append(f"pytest on {title} (exit code {code})")


def _verdict(tally: Tally, *, fails_on_lack: bool, seconds: float) -> int:
    """The last lines: what failed, what this machine lacks, and the numbers."""
    for failure in tally.failures:
        say(f"FAILED: {failure}")
    for need in needs.NEEDS:
        number = tally.lacking.get(need.name, 0)
        if number:
            way = f"as root ./dev installs it; by hand: apt-get install {' '.join(need.packages)}"
            say(f"SKIPPED for want of {need.title}: {number} tests ({way})")
    if tally.lacking and fails_on_lack:
        say("FAILED: --all allows no such skip")
    say(f"{seconds:.0f} s")
    print(f"total: {tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped", flush=True)
    return 1 if tally.failures or (tally.lacking and fails_on_lack) else 0


def _workers() -> list[str]:
    # Two more than there are cores: tests of processes, leases and turns wait for most of their time.
    return ["-n", str(max(2, min(os.cpu_count() or 2, 8)) + 2), *SIDE_BY_SIDE]


def _wants_one_process(arguments: Sequence[str]) -> bool:
    """Whether the arguments say by themselves how many processes there are, or need a terminal."""
    own = ("-n", "--numprocesses", "--pdb", "--co", "--trace")
    return "-s" in arguments or any(argument.startswith(own) for argument in arguments)


def _take_marks(arguments: Sequence[str]) -> tuple[list[str], str]:
    """Splits `-m EXPRESSION` off, since it is joined with one of ours."""
    rest, marks = list(arguments), ""
    if "-m" in rest[:-1]:
        at = rest.index("-m")
        marks = rest[at + 1]
        del rest[at : at + 2]
    return rest, marks


def _call(command: Sequence[str], **options: Any) -> int:
    """Runs a step. A Ctrl-C reaches it too, a SIGTERM is passed on: it ends in order before we do."""
    process = subprocess.Popen(command, cwd=ROOT, **options)
    try:
        return process.wait()
    except Terminated:
        _end(process, first_wait_s=0)
        raise
    except KeyboardInterrupt:
        _end(process, first_wait_s=INTERRUPT_GRACE_S)
        raise


def _end(process: subprocess.Popen[bytes], first_wait_s: float) -> None:
    for wait_s, then in ((first_wait_s, process.terminate), (STOP_GRACE_S, process.kill)):
        try:
            process.wait(wait_s)
            return
        except subprocess.TimeoutExpired:
            then()


class Terminated(KeyboardInterrupt):
    """We were sent a SIGTERM, which our steps were not."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated
