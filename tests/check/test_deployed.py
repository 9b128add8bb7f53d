"""The lock file and the store: tasks that are gone, and queues that are shared (DU036, DU037)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dutiful.check import lockfile, store
from dutiful.check.findings import Finding
from dutiful.check.sources import Project
from dutiful.check.store import Timing
from dutiful.check.systems import find_tasks
from dutiful.check.tasks import Task

HEAD = "from dutiful import App, Run\napp = App('shop', 'sqlite:///x.db')\n\n"
SEND = "@app.task({})\ndef send(order_id: int, to: str, *, run: Run = Run.given):\n    pass\n"


def tasks(folder: Path, code: str) -> list[Task]:
    (folder / "jobs.py").write_text(HEAD + code, "utf-8")
    return find_tasks(Project((folder,)))


def compared(folder: Path, after: str, jobs: dict[str, int] | None = None) -> list[Finding]:
    file = folder / "dutiful.lock"
    assert lockfile.write(file, tasks(folder, SEND.format(""))) == 1
    return list(lockfile.compare(file, tasks(folder, after), jobs))


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (SEND.format("").replace("send", "post"), "jobs.send is in"),
        (SEND.format("").replace(", to: str", ""), "to is gone from jobs.send"),
        (SEND.format("").replace("to: str", "to: str, copy: str"), "copy is new in jobs.send"),
        ("", "jobs.send is in"),
    ],
    ids=["renamed", "an argument gone", "an argument without default", "removed"],
)
def test_what_waiting_jobs_would_miss(after: str, why: str, tmp_path: Path) -> None:
    [found] = compared(tmp_path, after)
    assert why in found.why and found.rule == "DU036"
    assert len(compared(tmp_path, after, {"jobs.send": 3})) == 1
    assert compared(tmp_path, after, {"jobs.other": 3}) == []  # no job names it any more


@pytest.mark.parametrize(
    "after",
    [
        SEND.format(""),
        SEND.format("aliases=['jobs.send']").replace("def send", "def post"),
        SEND.format("version=2").replace(", to: str", ""),
        SEND.format("").replace("to: str", "to: str, copy: str = ''"),
    ],
    ids=["unchanged", "an alias", "a new version", "an argument with a default"],
)
def test_what_they_would_not_miss(after: str, tmp_path: Path) -> None:
    assert compared(tmp_path, after) == []


def test_open_jobs_of_an_unknown_task(tmp_path: Path) -> None:
    known = tasks(tmp_path, SEND.format(""))
    [found] = lockfile.unknown(known, {"jobs.sned": 2, "jobs.send": 1}, ())
    assert "2 open jobs are of jobs.sned" in found.why
    assert list(lockfile.unknown([], {"jobs.sned": 2}, ())) == []


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "x"}', '{"schema": "dutiful/check.lock/1", "tasks": {"a": {}}}']
)
def test_a_file_that_is_no_lock_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "dutiful.lock").write_text(text)
    with pytest.raises(lockfile.BadLock):
        lockfile.read(tmp_path / "dutiful.lock")


def timing(task: str, p95_s: float, queue: str = "default") -> Timing:
    return Timing(queue, task, 50, p95_s * 1e6)


@pytest.mark.parametrize(
    ("timed", "found"),
    [
        ([timing("a", 0.1), timing("b", 60)], 1),
        ([timing("a", 0.001), timing("b", 0.2)], 1),
        ([timing("a", 0.1), timing("c", 1), timing("b", 60)], 1),
        ([timing("a", 0.1), timing("b", 9)], 0),
        ([timing("a", 0.1), timing("b", 60, "slow")], 0),
        ([timing("a", 60)], 0),
    ],
)
def test_queues_that_short_and_long_jobs_share(timed: list[Timing], found: int) -> None:
    assert len(list(store.shared_queues([], timed))) == found
