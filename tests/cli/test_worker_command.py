"""``dutiful worker`` and ``dutiful demo``: what is handed on, and what is refused before."""

from __future__ import annotations

import json
import logging
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dutiful.cli.demo import DemoOptions
from dutiful.cli.worker import _JsonLines
from dutiful.worker import processes
from dutiful.worker.options import WorkerOptions
from tests.cli.conftest import Shop


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, WorkerOptions]]]:
    """What workers were started with, instead of starting them; logging as it was."""
    calls: list[tuple[str, WorkerOptions]] = []

    def main(path: str, options: WorkerOptions) -> int:
        calls.append((path, options))
        return 0

    monkeypatch.setattr(processes, "main", main)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield calls
    root.handlers[:], root.level = handlers, level


def test_options_are_handed_on(small_shop: Shop, started: list[Any]) -> None:
    path = f"{small_shop.module}:app"
    words = ["-q", "critical:4,default", "-c", "3", "--processes", "2", "--until-empty", "--lease", "10s"]
    words += ["--health", "8080", "--drain-timeout", "5s"]
    assert small_shop.bare("worker", path, *words).code == 0
    assert started == [
        (
            path,
            WorkerOptions(
                queues="critical:4,default",
                concurrency=3,
                processes=2,
                until_empty=True,
                lease="10s",
                health=8080,
                drain_timeout="5s",
            ),
        )
    ]


def test_the_app_can_tell_a_hash_of_its_tasks_code(small_shop: Shop, started: list[Any]) -> None:
    assert small_shop.app.code_of is None
    assert small_shop.bare("worker", f"{small_shop.module}:app").code == 0
    code_of = small_shop.app.code_of
    assert code_of is not None
    told = {code_of(task.function) for task in small_shop.app.tasks.values()}
    assert len(told) == len(small_shop.app.tasks) and all(len(one) == 32 for one in told)


def test_the_app_comes_by_place_option_or_environment(small_shop: Shop, started: list[Any]) -> None:
    path = f"{small_shop.module}:app"
    assert small_shop.bare("worker", path).code == 0
    assert small_shop.bare("worker", "--app", path).code == 0
    assert small_shop("worker", "--watch").code == 0
    assert [(where, options.watch) for where, options in started] == [
        (path, False),
        (path, False),
        (path, True),
    ]
    twice = small_shop.bare("worker", path, "--app", "other:app")
    assert twice.code == 2 and "twice" in twice.err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["nowhere:app"], 4),
        (["--store", "sqlite:///x.db"], 2),
        (["-q", "a,,b"], 2),
        (["--processes", "0"], 2),
        (["--lease", "1ms"], 2),
        (["--health", "70000"], 2),
        (["--watch", "--processes", "2"], 2),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    small_shop: Shop, started: list[Any], args: list[str], code: int
) -> None:
    assert small_shop("worker", *args).code == code
    assert started == []


def test_log_lines_can_be_documents() -> None:
    record = logging.LogRecord("dutiful.worker", logging.INFO, "x.py", 1, "job_done job_id='J'", None, None)
    record.event, record.fields = "job_done", {"job_id": "J", "took_s": 0.5, "path": Path("x")}
    line = json.loads(_JsonLines().format(record))
    assert line["event"] == "job_done" and line["job_id"] == "J" and line["path"] == "x"
    plain = logging.LogRecord("other", logging.WARNING, "x.py", 1, "hello %s", ("you",), None)
    assert json.loads(_JsonLines().format(plain))["event"] == "hello you"


def test_a_real_worker_runs_what_is_there(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    shop.app.close()
    done = shop.really("worker", "--until-empty")
    assert done.code == 0, done.err
    assert done.out == "" and "worker_started" in done.err and "worker_stopped" in done.err
    assert shop("job", "show", id, "--json").document["job"]["state"] == "done"
    assert shop.really("worker", "--until-empty", "--quiet").err == ""


def test_the_demo_gets_its_options(small_shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Any] = []
    fake = types.ModuleType("dutiful.demo")
    fake.run = lambda options: told.append(options) or 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dutiful.demo", fake)
    orders = tmp_path / "orders.csv"
    orders.write_text("id\n")
    words = [
        "--fast",
        "--seed",
        "7",
        "--kills",
        "3",
        "--keep",
        "--orders",
        str(orders),
        "--json",
        "--no-open",
    ]
    assert small_shop.bare("demo", *words).code == 1
    assert told == [DemoOptions(fast=True, seed=7, kills=3, json=True, keep=True, orders=orders, opens=False)]
    assert small_shop.bare("demo", "--orders", "nowhere.csv").code == 2
