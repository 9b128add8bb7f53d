"""Signals: what has not begun goes back at once, bodies may finish, leases end on the way out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.processes.support.workers import Place, both, on_postgres, place, until

__all__ = ["place"]


def workers_of(place: Place) -> list[tuple[object, ...]]:
    from dutiful.operations import workers

    return [(row.id, row.alone) for row in place.app.engine.run(workers.live())]


@both
def test_sigterm_hands_back_waits_and_ends_the_leases(place: Place) -> None:
    quick = place.enqueue("nap", *((n, 1) for n in range(300)))
    slow = place.enqueue("nap", *((n, 1500) for n in range(30)))
    worker = place.worker("--concurrency", "2", "--lease", "60s")
    until(lambda: {line[1] for line in place.said("begin")} & set(slow), "a slow one has begun")
    worker.send_signal(signal.SIGTERM)
    until(lambda: worker.poll() is not None, "the worker ended")
    assert worker.returncode == 0
    begun = {line[1] for line in place.said("begin")}
    assert begun == {line[1] for line in place.said("end")}, "a body was cut off"
    for id in set(slow + quick) - begun:
        job = place.job(id)
        assert (job.state, job.attempt) == ("ready", 0)
    assert all(place.job(id).state == "done" for id in begun)
    assert workers_of(place) == []
    assert place.said("stopped")
    place.verified()


@both
def test_async_bodies_are_cancelled_before_the_budget_ends(place: Place) -> None:
    ids = place.enqueue("anap", (0, 60_000), (1, 60_000))
    worker = place.worker("--drain-timeout", "1s", "--lease", "60s")
    until(lambda: len(place.said("begin")) == 2, "both have begun")
    worker.send_signal(signal.SIGTERM)
    until(lambda: worker.poll() is not None, "the worker ended")
    assert worker.returncode == 0
    assert len(place.said("cancelled")) == 2
    assert [(place.job(id).state, place.job(id).attempt) for id in ids] == [("ready", 0)] * 2


@both
def test_a_thread_that_ignores_everything_does_not_keep_the_process(place: Place) -> None:
    [id] = place.enqueue("nap", (0, 600_000))
    worker = place.worker("--drain-timeout", "1s", "--lease", "60s")
    until(lambda: place.said("begin"), "it has begun")
    worker.send_signal(signal.SIGTERM)
    until(lambda: worker.poll() is not None, "the worker ended")
    assert worker.returncode == 0
    job = place.job(id)
    assert (job.state, job.attempt, job.suspect) == ("ready", 0, False)


@both
def test_a_second_sigterm_stops_at_once(place: Place) -> None:
    [id] = place.enqueue("nap", (0, 600_000))
    worker = place.worker("--drain-timeout", "300s", "--lease", "60s")
    until(lambda: place.said("begin"), "it has begun")
    worker.send_signal(signal.SIGTERM)
    until(lambda: "worker_draining" in place.output(), "it drains")
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    until(lambda: worker.poll() is not None, "the worker ended", 20)
    assert place.job(id).state == "ready"


IN_THE_LOCK = """
import signal, sys, types
import dutiful
from dutiful.worker import processes
from dutiful.worker.options import WorkerOptions

app = dutiful.App("shop", "sqlite:///:memory:")

def run(worker):
    worker.threads = types.SimpleNamespace(busy=0)
    with worker._draining._cond:
        signal.raise_signal(signal.SIGTERM)
    if not worker._draining.wait(60):
        sys.exit("not told")
    print("drains", flush=True)

processes.Worker.run = run
sys.exit(processes.one("__main__:app", WorkerOptions()))
"""


def test_a_signal_that_finds_the_main_thread_within_a_lock_is_obeyed() -> None:
    """A handler that took that lock, as Event.set() does, would wait for itself for ever."""
    done = subprocess.run([sys.executable, "-c", IN_THE_LOCK], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["drains"]), done.stderr


@both
@pytest.mark.parametrize("how", ["nap", "raises", "times_out"])
def test_what_ends_in_the_moment_of_shutdown_ends_once(place: Place, how: str) -> None:
    for round in range(4):
        rows = [(n, 20) if how == "nap" else (n,) for n in range(20)]
        ids = place.enqueue(how, *rows)
        worker = place.worker("--concurrency", "20", "--drain-timeout", "1s")
        until(lambda ids=ids: {line[1] for line in place.said("begin")} & set(ids), "they have begun")
        time.sleep(0.01 * round)
        worker.send_signal(signal.SIGTERM)
        until(lambda worker=worker: worker.poll() is not None, "the worker ended")
        for id in ids:
            job, runs = place.job(id), len(place.said("begin", id))
            assert job.state in ("done", "dead", "ready"), job
            if job.state == "ready":  # handed back: begun or not, nothing of it was charged
                assert job.attempt == 0
            else:
                assert runs == job.run_no == 1
        place.verified()
        rest = place.worker("--until-empty", "--concurrency", "20")
        until(lambda rest=rest: rest.poll() is not None, "the rest is done")
        for id in ids:
            assert len(place.said("begin", id)) <= 2


@both
def test_until_empty_ends_by_itself_and_hooks_ran(place: Place) -> None:
    place.enqueue("nap", *((n, 1) for n in range(20)))
    worker = place.worker("--until-empty")
    until(lambda: worker.poll() is not None, "it ended")
    assert worker.returncode == 0 and place.left() == 0
    assert [len(place.said(word)) for word in ("started", "started-async", "stopped")] == [1, 1, 1]


@both
def test_a_wrapper_cannot_swallow_an_error(place: Place) -> None:
    place.set("swallow")
    [id] = place.enqueue("raises", (1,))
    place.worker("--until-empty")
    until(lambda: place.job(id).state == "dead", "it failed all the same")
    assert place.said("swallowed")


@on_postgres
def test_a_killed_process_of_several_is_started_again(place: Place) -> None:
    parent = place.worker("--processes", "3")
    until(lambda: len(workers_of(place)) == 3, "three are at work")
    [victim, *_] = [int(line[-1]) for line in place.said("started")]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(place.said("started")) == 4, "a new one came")
    parent.send_signal(signal.SIGTERM)
    until(lambda: parent.poll() is not None, "all ended")
    assert parent.returncode == 0
    until(lambda: len(workers_of(place)) <= 1, "their leases ended")  # but the killed one's


@on_postgres
def test_sighup_starts_anew(place: Place) -> None:
    worker = place.worker()
    until(lambda: place.said("started-async"), "it is at work")
    worker.send_signal(signal.SIGHUP)
    until(lambda: len(place.said("started-async")) == 2, "it is at work again")
    assert worker.poll() is None
    [id] = place.enqueue("nap", (0, 1))
    until(lambda: place.job(id).state == "done", "and works")


def test_watch_reloads_after_a_change(tmp_path: Path) -> None:
    import subprocess
    import sys

    module = tmp_path / "watched.py"
    log = tmp_path / "log"

    def write(word: str) -> None:
        module.write_text(
            "from dutiful import App\n"
            "app = App('watched', 'sqlite:///watched.db')\n"
            "@app.on_start\n"
            f"def note():\n    open({str(log)!r}, 'a').write({word!r} + '\\n')\n"
        )

    write("first")
    worker = subprocess.Popen(
        [sys.executable, "-m", "dutiful", "worker", "watched:app", "--watch"],
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        until(lambda: log.exists() and "first" in log.read_text(), "it started")
        time.sleep(1.0)  # the snapshot of the files is taken
        write("second")
        until(lambda: "second" in log.read_text(), "it started anew")
        worker.send_signal(signal.SIGTERM)
        until(lambda: worker.poll() is not None, "it ended")
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)


@on_postgres
def test_health_says_live_and_ready(place: Place) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = place.worker("--health", str(port))
    until(lambda: place.said("started-async"), "it is at work")

    def ask(path: str) -> tuple[int, dict[str, object]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())

    until(lambda: ask("/live")[0] == 200, "it lives")
    status, state = ask("/ready")
    assert status == 200 and state["claiming"] is True
    assert worker.poll() is None
