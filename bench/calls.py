"""Runs one measurement in a child process: bounded in time, on a fresh store, leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contestants import Contestant
from bench.servers import Missing, Servers
from bench.subject import URL_VARIABLE

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Outcome:
    """A value, or why there is none."""

    value: Any = None
    problem: str | None = None


def call(
    servers: Servers, contestant: Contestant, method: str, options: dict[str, Any], timeout_s: float
) -> Outcome:
    """One measurement of one contestant. Never raises for what the contestant does."""
    if not contestant.available():
        return Outcome(problem="not installed")
    with tempfile.TemporaryDirectory(prefix="dutiful-bench-") as folder:
        try:
            with servers.fresh(contestant, Path(folder)) as url:
                return _run(contestant, method, options, folder, url, timeout_s)
        except Missing as missing:
            return Outcome(problem=str(missing))


def _run(
    contestant: Contestant, method: str, options: dict[str, Any], folder: str, url: str, timeout_s: float
) -> Outcome:
    command = [sys.executable, "-m", "bench.child", contestant.name, method, json.dumps(options), folder]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, URL_VARIABLE: url, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"timed out after {timeout_s:.0f} s")
    finally:
        _end_group(child)
    lines = out.splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError):
        return Outcome(problem=f"failed: exit code {child.returncode}: {err[-300:]}")
    return Outcome(value=answer.get("value"), problem=answer.get("problem"))


def _end_group(child: subprocess.Popen[str]) -> None:
    """Kill whatever the child started and left: it leads a process group of its own."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
