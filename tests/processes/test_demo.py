"""The demonstration shows what it promises; and where dutiful is used wrongly, it says so and fails."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dutiful.demo import lane_c
from dutiful.demo.orders import SHIPPED
from dutiful.demo.outcome import DRILL
from tests.processes.support.workers import until

# A busy machine takes several times the 15 seconds of an idle one; the demonstration itself ends at 180.
pytestmark = pytest.mark.timeout(400)

DEMO = [sys.executable, "-m", "dutiful", "demo", "--fast"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demonstration makes its temporary folder."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


def run(folder: Path, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """A demonstration from its start to its end, after which nothing of it is left."""
    environment = os.environ | {"TMPDIR": str(folder), **more}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert nothing_is_left(folder), done.stderr
    return done


def nothing_is_left(folder: Path) -> bool:
    return not os.listdir(folder) and not processes_in(folder)


def processes_in(folder: Path) -> list[int]:
    """Which processes work in a folder below this one (where the system can tell)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            where = os.readlink(entry / "cwd")
        except OSError:
            continue  # ended meanwhile, or not ours
        if where.startswith(f"{folder}/"):
            found.append(int(entry.name))
    return found


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["schema"] == "dutiful/demo/1"
    return found


@pytest.mark.parametrize("seed", [11, 12])
def test_two_lanes_break_and_dutiful_is_exact(folder: Path, seed: int) -> None:
    done = run(folder, [*DEMO, "--json", "--seed", str(seed)])
    assert done.returncode == 0, done.stderr + done.stdout
    found = document(done)
    assert (found["ok"], found["why"], found["seed"], found["folder"]) == (True, [], seed, None)
    a, b, c = (found["lanes"][letter] for letter in "ABC")
    assert (c["orders"], c["charged"]) == (200, 200)
    assert (c["lost"], c["doubled"], c["wrong"], c["left"]) == (0, 0, 0, 0)
    assert (c["stored"], c["duplicates_folded"]) == (200, 200)
    assert (c["late_writes_refused"], c["poison_retried"]) == (1, 1)
    assert c["repeats_answered"] >= 3  # one for each kill in the gap
    points = [(crash["order_id"], crash["point"]) for crash in found["crashes"] if crash["how"] == "kill"]
    for lane in (a, b, c):
        assert (lane["kills"], lane["zombies"]) == (9, 1)
    for letter, missing, twice in (("A", a["lost"], 0), ("B", 0, len(b["doubled_orders"])), ("C", 0, 0)):
        told = {
            "expected": 200,
            "ok": 200 - missing - twice,
            "missing": missing,
            "surplus": twice,
            "others": 0,
        }
        assert found["lanes"][letter]["reconciled"] == told, letter
    assert (found["verdict"]["lost"], found["verdict"]["doubled"]) == (0, 0)
    assert f"3  cut that task off at every step:  {shlex.join(DRILL)}" in done.stderr
    # What A lost is what its workers had acknowledged and not charged when they were killed.
    assert set(a["lost_orders"]) == {order for order, point in points if point == "before"}
    assert set(b["doubled_orders"]) >= {order for order, point in points if point == "gap"}
    assert "late write refused (run 1, now " in done.stderr
    assert "killed w-" in done.stderr


def test_the_drill_that_it_offers_works_as_printed(tmp_path: Path) -> None:
    """Its own task, cut off at every step, with the bank behind HTTP."""
    done = subprocess.run(
        [sys.executable, "-m", *DRILL], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "lane_c.charge: clean" in done.stdout, done.stdout + done.stderr
    assert "1 call" in done.stdout and "unseen I/O: none" in done.stdout


RECONCILED = '@app.reconcile(charge, name="bank", done=charged, every="10s", grace="0s", window="1d")'
PLANTED = {
    "no key for the bank": ([('key=run.key("charge")', "key=None")], "charged more than once"),
    "no duty": ([('once="charge:{order_id}", ', ""), (RECONCILED, "")], "folded 0 duplicates"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_in_lane_c_makes_it_fail(folder: Path, tmp_path: Path, bug: str) -> None:
    changes, reason = PLANTED[bug]
    text = Path(lane_c.__file__).read_text()
    for right, wrong in changes:
        assert right in text
        text = text.replace(right, wrong)
    text = text.replace("from ..", "from dutiful.").replace("from .", "from dutiful.demo.")
    (tmp_path / "planted.py").write_text(text)
    program = (
        "import sys; from dutiful.demo import DemoOptions, run;"
        "sys.exit(run(DemoOptions(fast=True, seed=5, json=True, lane_c='planted:app')))"
    )
    done = run(folder, [sys.executable, "-c", program], PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr + done.stdout
    found = document(done)
    assert not found["ok"]
    assert any(reason in why for why in found["why"]), found["why"]
    assert found["lanes"]["C"]["doubled"] > 0
    if bug == "no duty":  # without a key nothing can be compared, and that is said
        assert any("declares no reconciliation" in why for why in found["why"]), found["why"]
    else:
        assert found["lanes"]["C"]["reconciled"]["surplus"] == len(found["lanes"]["C"]["doubled_orders"])
        assert found["verdict"]["doubled"] > 0
    assert "This demonstrates nothing" in done.stderr


def test_bad_rows_are_told_by_line_and_the_others_are_used(folder: Path, tmp_path: Path) -> None:
    lines = SHIPPED.read_text().splitlines()[:40]
    lines[2] = "ord-1,Moss Toys,kite,1,12.50,EUR,2026-03-02T09:32:45+02:00"
    lines[3] = "ord-2,Moss Toys,kite"
    lines[4] = lines[1]
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(lines))
    done = run(folder, [*DEMO, "--orders", str(path), "--kills", "3", "--json", "--seed", "1"])
    assert done.returncode == 0, done.stderr
    found = document(done)
    assert found["orders"]["used"] == 36
    told = {bad["line"]: bad["problem"] for bad in found["orders"]["bad"]}
    assert "amount_cents '12.50' is not a whole number" in told[3]
    assert "has 3 fields instead of 7" in told[4]
    assert "stands in line 2 already" in told[5]
    assert len(told) == 3
    assert f"{path}, line 3: amount_cents" in done.stderr
    assert (found["lanes"]["C"]["charged"], found["lanes"]["C"]["kills"]) == (36, 3)


HEADER = "order_id,customer,amount_cents,currency,placed_at\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"a,b,c\n1,2,3\n", "no column order_id, customer, amount_cents, currency, placed_at"),
        (b"\x00\xff\xfe\x00" * 100, "no column"),
        (f"{HEADER}1,x,1,EUR,2026-01-01T00:00:00Z\n".encode(), "has 1 good row; this takes at least 33"),
        (f"{HEADER}1,x,1,EUR,yesterday\n".encode(), "line 2: placed_at 'yesterday' is not a time"),
        (None, "does not exist"),
    ],
    ids=["empty", "other columns", "no text", "too few", "no good row", "missing"],
)
def test_orders_that_cannot_be_used_are_refused(
    folder: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "orders.csv"
    if content is not None:
        path.write_bytes(content)
    done = run(folder, [*DEMO, "--orders", str(path)])
    assert done.returncode == 2, done.stderr
    assert reason in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    story = tmp_path / "story"
    environment = os.environ | {"TMPDIR": str(folder)}
    with story.open("wb") as output:
        demo = subprocess.Popen([*DEMO, "--json"], env=environment, stdout=output, stderr=output)
        until(lambda: b"pid " in story.read_bytes() or demo.poll() is not None, "no worker was hit")
        demo.send_signal(number)
        assert demo.wait(60) == 130
    assert "Interrupted: no process is left" in story.read_text()
    assert nothing_is_left(folder)


def test_workers_end_with_a_demonstration_that_was_killed(folder: Path, tmp_path: Path) -> None:
    story = tmp_path / "story"
    environment = os.environ | {"TMPDIR": str(folder)}
    with story.open("wb") as output:
        demo = subprocess.Popen(DEMO, env=environment, stdout=output, stderr=output)
        until(lambda: b"pid " in story.read_bytes() or demo.poll() is not None, "no worker was hit")
        demo.kill()
        demo.wait()
    until(lambda: not processes_in(folder), "processes are left")
