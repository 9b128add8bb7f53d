"""A job for each line of a file: all of them once, and where it stops it says how to go on."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from dutiful.app import bulk
from dutiful.operations import audit
from tests.cli.conftest import Shop


def lines(folder: Path, *rows: str) -> str:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(rows))
    return str(path)


def charges(shop: Shop) -> list[int]:
    """Which orders have a job, the first enqueued first."""
    jobs = shop("job", "list", "--json", "--limit", "500").document.get("jobs", [])  # no store: no jobs
    return [int(one["key"].partition(":")[2]) for one in jobs if one["task"] == "charge"][::-1]


def test_each_line_is_a_job_and_the_whole_is_audited(shop: Shop, tmp_path: Path) -> None:
    path = lines(tmp_path, '{"order_id": 1}', "[2]", "", '{"order_id": 3}')
    told = shop("enqueue", "charge", "--from", path, "--reason", "the missed ones", "--as", "ann")
    assert (told.code, told.out) == (0, "3 jobs of charge\n"), told.err
    assert charges(shop) == [1, 2, 3]
    again = shop("enqueue", "charge", "--from", path)
    assert (again.code, again.out) == (0, "0 jobs of charge\n")
    assert "3 more rows have their job already" in again.err
    [first, *_] = reversed(shop.app.engine.run(audit.page("shop", subject="task charge")))
    shop.app.close()
    assert (first.actor, first.verb, first.reason) == ("ann", "enqueue", "the missed ones")
    assert (first.before, first.after) == ("3 rows", "3 enqueued, 0 there already")


def test_from_stdin_with_options_and_as_json(small_shop: Shop) -> None:
    rows = "\n".join(f'{{"order_id": {n}}}' for n in range(7))
    told = small_shop(
        "enqueue", "charge", "--from", "-", "--skip", "2", "--queue", "slow", "--json", input=rows
    )
    assert told.document == {
        "schema": "dutiful/enqueue-rows/1",
        "app": "shop",
        "task": "charge",
        "stored": 5,
        "duplicates": 0,
        "skipped": 2,
    }
    assert charges(small_shop) == [2, 3, 4, 5, 6]
    queues = {one["queue"] for one in small_shop("job", "list", "--json").document["jobs"]}
    assert queues == {"slow"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", ["This line is no JSON"]),
        ("42", ["This line is a JSON object"]),
        ('{"order_id": "x"}', ["DE201", "argument order_id"]),
    ],
)
def test_a_bad_line_is_named_with_the_way_on(
    small_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, said: list[str]
) -> None:
    monkeypatch.setattr(bulk, "STREAM_BATCH", 4)
    good = [f"[{n}]" for n in range(10)]
    told = small_shop("enqueue", "charge", "--from", lines(tmp_path, *good[:6], bad, *good[6:]))
    assert told.code == 2 and not told.out
    for one in (*said, "rows.jsonl, line 7", "The first 4 rows are stored: go on with --skip 4."):
        assert one in told.err, told.err
    assert charges(small_shop) == [0, 1, 2, 3]
    told = small_shop("enqueue", "charge", "--from", lines(tmp_path, *good), "--skip", "4")
    assert told.code == 0 and charges(small_shop) == list(range(10))
    told = small_shop("enqueue", "charge", "--from", lines(tmp_path, bad))
    assert told.code == 2 and "Nothing was stored." in told.err


def test_what_cannot_be_meant_is_refused(small_shop: Shop, tmp_path: Path) -> None:
    path = lines(tmp_path, "[1]")
    for words in (
        ["order_id=1", "--from", path],
        ["--args", "[1]", "--from", path],
        ["--once", "a", "--from", path],
        ["order_id=1", "--skip", "3"],
        ["--from", str(tmp_path / "none.jsonl")],
    ):
        told = small_shop("enqueue", "charge", *words)
        assert told.code == 2 and told.err and not told.out, words
    assert charges(small_shop) == []


def test_ctrl_c_says_how_to_go_on_and_nothing_is_lost(small_shop: Shop) -> None:
    """Rows come slowly; after the first batch somebody presses Ctrl-C."""
    command = small_shop.command("enqueue", "charge", "--from", "-")
    going = subprocess.Popen(
        command,
        cwd=small_shop.folder,
        env=small_shop.environ(PYTHONPATH=str(small_shop.folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert going.stdin is not None and going.stderr is not None
    going.stdin.write(b"".join(b"[%d]\n" % n for n in range(bulk.STREAM_BATCH + 10)))
    going.stdin.flush()
    until = time.monotonic() + 60
    while time.monotonic() < until and not charges(small_shop):
        time.sleep(0.1)
    going.send_signal(2)
    _, err = going.communicate(timeout=60)
    assert going.returncode == 130, err
    assert b"go on with --skip 5000" in err
