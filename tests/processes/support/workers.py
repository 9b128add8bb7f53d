"""Real worker processes for tests: started, killed, stopped, awaited; all of them ended at the end."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dutiful import App
from dutiful.operations import inspect

if TYPE_CHECKING:
    from dutiful.app.task import Task

MODULE = "tests.processes.support.jobs"
ROOT = Path(__file__).parents[3]
DEADLINE_S = 60.0


def until(what: Callable[[], object], why: str, deadline_s: float = DEADLINE_S) -> None:
    """Ask until it is true; fail with ``why`` at the deadline."""
    end = time.monotonic() + deadline_s
    while not what():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {why}")
        time.sleep(0.02)


class Place:
    """A store, a log and flags, and the workers started on them."""

    def __init__(self, url: str, folder: Path, module: str = MODULE) -> None:
        jobs = importlib.import_module(module)

        self.url = url
        self.folder = folder
        self.log = folder / "bodies.log"
        self.log.touch()
        self.flags = folder / "flags"
        self.flags.mkdir()
        self.module = module
        self.app = App("tests", url)
        for task in jobs.app.tasks.values():
            self.app._add(task)
        self.jobs = jobs
        self.workers: list[subprocess.Popen[bytes]] = []

    def environment(self, **more: str) -> dict[str, str]:
        return os.environ | {
            "DUTIFUL_TEST_URL": self.url,
            "DUTIFUL_TEST_LOG": str(self.log),
            "DUTIFUL_TEST_FLAGS": str(self.flags),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            **more,
        }

    def worker(self, *options: str, **more: str) -> subprocess.Popen[bytes]:
        """Start ``dutiful worker`` with a lease of 2 s (another one may be among the options)."""
        lease = () if "--lease" in options else ("--lease", "2s")
        with open(self.folder / "workers.log", "ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "dutiful", "worker", f"{self.module}:app", *lease, *options],
                env=self.environment(**more),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.workers.append(process)
        return process

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """kill -9 the process and its children, as a host that fails does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGCONT)
            self.kill(worker)
        self.app.close()

    # ── jobs ────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, name: str, *rows: tuple[object, ...]) -> list[str]:
        """Enqueue by the task's short name; returns the ids."""
        with self._task(name) as task:
            return [handle.id for handle in self.app.enqueue_many(task, rows)]

    def enqueue_later(self, run_in: str, name: str, *row: object) -> str:
        """One job that is due only then."""
        with self._task(name) as task:
            return str(task.using(run_in=run_in).enqueue(*row).id)

    @contextlib.contextmanager
    def _task(self, name: str) -> Iterator[Task[..., Any]]:
        task = self.app.find_task(f"{self.module}.{name}")
        elsewhere, task.app = task.app, self.app
        try:
            yield task
        finally:
            task.app = elsewhere

    def job(self, id: str) -> inspect.JobView:
        return self.app.engine.run(inspect.job("tests", id))

    def states(self, ids: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for id in ids:
            job = self.job(id)
            word = job.reason or job.outcome or job.state
            found[word] = found.get(word, 0) + 1
        return found

    def left(self) -> int:
        """How many jobs are open."""
        return sum(q.due + q.later + q.running for q in self.app.engine.run(inspect.queues("tests")))

    # ── what bodies did ─────────────────────────────────────────────────────────────────────

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]

    def said(self, word: str, id: str | None = None) -> list[list[str]]:
        return [line for line in self.lines() if line[0] == word and (id is None or line[1] == id)]

    def set(self, name: str) -> None:
        (self.flags / name).touch()

    def unset(self, name: str) -> None:
        (self.flags / name).unlink()

    def output(self) -> str:
        path = self.folder / "workers.log"
        return path.read_text() if path.exists() else ""

    def verified(self) -> None:
        """The checker of the invariants finds nothing."""
        from dutiful.operations import verify

        assert self.app.engine.run(verify.check("tests", full=True)) == []


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place on each engine."""
    url = request.getfixturevalue(request.param)
    found = Place(url, tmp_path)
    found.app.engine.check_schema() if url.startswith("postgres") else found.app.migrate()
    try:
        yield found
    finally:
        found.close()
        print(found.output()[-4000:])  # shown where the test fails


both = pytest.mark.parametrize(
    "place",
    [
        pytest.param("sqlite_url", id="sqlite"),
        pytest.param("postgres_url", id="postgres", marks=pytest.mark.postgres),
    ],
    indirect=True,
)
on_postgres = pytest.mark.parametrize(
    "place", [pytest.param("postgres_url", id="postgres", marks=pytest.mark.postgres)], indirect=True
)
