"""``migrate``, ``verify``, ``queue list``, ``doctor`` and ``explain``, and the schemas of all documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dutiful.cli.examples import EXAMPLES
from dutiful.model.errors import all_errors
from dutiful.operations import workers
from dutiful.sql import migrations
from tests.cli.conftest import Shop
from tests.contract.stores import opened, write
from tests.contract.test_why import start

# ── migrate ─────────────────────────────────────────────────────────────────────────────────

ALL = [f"{one.number:04} {one.title}" for one in migrations("sqlite")]
"""The titles of all migrations, alike on both engines."""


def test_a_plan_changes_nothing_and_a_migration_is_repeatable(
    small_shop: Shop, empty_postgres_url: str
) -> None:
    for url in (empty_postgres_url, small_shop.url):
        store = ["--store", url]
        plan = small_shop.bare("migrate", "--plan", *store)
        assert (plan.code, plan.out) == (0, "".join(f"would apply {one}\n" for one in ALL))
        sql = small_shop.bare("migrate", "--sql", *store)
        assert sql.code == 0 and sql.out.startswith("-- start\n") and "CREATE TABLE" in sql.out
        assert small_shop.bare("migrate", "--plan", "--json", *store).document["pending"] == ALL
        assert small_shop.bare("migrate", *store).out == "".join(f"applied {one}\n" for one in ALL)
        again = small_shop.bare("migrate", *store)
        assert (again.code, again.out) == (0, "") and "Nothing to do" in again.err
        done = small_shop.bare("migrate", "--json", *store).document
        assert done == {"schema": "dutiful/migrate/1", "done": [], "pending": []}


def test_the_ledger_alone_is_made_by_the_same_command(small_shop: Shop, empty_postgres_url: str) -> None:
    for url in (empty_postgres_url, small_shop.url):
        args = ["migrate", "--ledger", url]
        plan = small_shop.bare(*args, "--plan")
        assert (plan.code, plan.out) == (0, "would apply ledger\n")
        sql = small_shop.bare(*args, "--sql")
        assert sql.code == 0 and sql.out.startswith("-- ledger\n") and "CREATE TABLE" in sql.out
        assert small_shop.bare(*args, "--plan", "--json").document["pending"] == ["ledger"]
        assert small_shop.bare(*args).out == "applied ledger\n"
        again = small_shop.bare(*args)
        assert (again.code, again.out) == (0, "") and "Nothing to do" in again.err
        assert small_shop.bare(*args, "--sql").out == ""
        done = small_shop.bare(*args, "--json").document
        assert done == {"schema": "dutiful/migrate/1", "done": [], "pending": []}
        assert small_shop.bare("migrate", "--plan", "--store", url).out.startswith("would apply 0001 start")


def test_the_printed_sql_of_the_ledger_can_be_run(small_shop: Shop, empty_postgres_url: str) -> None:
    import sqlite3

    import psycopg

    with psycopg.connect(empty_postgres_url) as connection:
        sql = small_shop.bare("migrate", "--ledger", empty_postgres_url, "--sql").out
        connection.execute(sql)  # type: ignore[call-overload]
    assert "Nothing to do" in small_shop.bare("migrate", "--ledger", empty_postgres_url).err
    sql = small_shop.bare("migrate", "--ledger", small_shop.url, "--sql").out
    path = small_shop.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as file:
        file.executescript(sql)
    file.close()
    assert "Nothing to do" in small_shop.bare("migrate", "--ledger", small_shop.url).err


def test_the_ledgers_database_is_named_once(small_shop: Shop) -> None:
    refused = small_shop.bare("migrate", "--ledger", "sqlite:///x.db", "--store", "sqlite:///y.db")
    assert refused.code == 2 and "leave --app and --store away" in refused.err
    refused = small_shop.bare("migrate", "--ledger", "mysql://x/y")
    assert refused.code == 4 and "DE301" in refused.err


# ── verify ──────────────────────────────────────────────────────────────────────────────────


def test_what_holds_is_well_and_what_does_not_is_listed(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    well = shop("verify")
    assert well.code == 0 and well.out.startswith("All invariants hold; ")
    with opened(shop.url) as engine:
        write(engine, "DELETE FROM dutiful.duty")
    found = shop("verify")
    assert found.code == 1
    assert "I8  1 job stood open beside the duty's row" in found.out and id in found.out
    assert "1 invariant is broken" in found.err
    document = shop("verify", "--full", "--json").document
    assert document["full"] is True
    assert [(one["invariant"], one["count"]) for one in document["findings"]] == [("I8", 1)]
    assert document["findings"][0]["rows"][0]["id"] == id


# ── queues ──────────────────────────────────────────────────────────────────────────────────


def test_queues_tell_what_is_due_late_and_untaken(shop: Shop) -> None:
    shop("migrate")
    assert 'App "shop" has no queues yet' in shop("queue", "list").err
    shop.enqueue("mail", "to=ann")
    shop.enqueue("mail", "to=bob", "--run-in", "1h")
    shop.enqueue("charge", "order_id=1")
    shop.app.close()
    with opened(shop.url) as engine:
        start(engine.run, ["default"], {"charge": 1}, concurrency=4)
    listed = shop("queue", "list")
    header, default, mail = listed.out.splitlines()
    assert header.split() == ["QUEUE", "DUE", "LATER", "RUNNING", "DEAD", "OLDEST", "DUE", "WORKERS"]
    assert default.split()[:5] == ["default", "1", "0", "0", "0"] and default.split()[-1] == "1"
    assert mail.split()[:5] == ["mail", "1", "1", "0", "0"] and mail.split()[-1] == "0"
    assert listed.err == "1 job is due in mail, and no live worker takes that queue: dutiful worker -q mail\n"


def test_a_queue_beyond_its_target_is_late(shop: Shop) -> None:
    shop.enqueue("mail", "to=ann")
    shop.run_all()  # declares the queues' lanes
    shop.enqueue("mail", "to=bob")
    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.job SET run_at = run_at - 180000000")
        write(engine, "INSERT INTO dutiful.queue (app, name, target) VALUES ('shop', 'mail', 120000000)")
    assert shop("queue", "list").out.splitlines()[-1].split()[-1] == "LATE"
    mail = shop("queue", "list", "--json").document["queues"][-1]
    assert mail["name"] == "mail" and mail["late"] is True and mail["target_s"] == 120
    assert 180 <= mail["oldest_due_s"] < 240


# ── doctor ──────────────────────────────────────────────────────────────────────────────────


def kinds(shop: Shop, *args: str) -> dict[str, str]:
    """What the doctor says, by subject; the worst of each."""
    worst = ["well", "note", "skipped", "unknown", "bad"]
    found: dict[str, str] = {}
    for note in shop("doctor", "--json", *args).document["notes"]:
        before = found.get(note["subject"], "well")
        found[note["subject"]] = max(before, note["kind"], key=worst.index)
    return found


def test_a_healthy_file_is_well(small_shop: Shop) -> None:
    small_shop("migrate")
    answer = small_shop("doctor")
    assert answer.code == 0, answer.out
    assert answer.out.splitlines()[-1] == "✓ All is well, as far as is checked."
    found = kinds(small_shop)
    assert list(found) == [
        "journal_mode", "store", "build", "synchronous", "file system", "log", "at_most_once", "timeouts",
        "ledger horizon", "calls", "workers of shop",
    ]  # fmt: skip
    assert re.search(r"SQLite \d+\.\d+\.\d+ by sqlite3", answer.out)


def test_the_server_is_looked_over(postgres_shop: Shop) -> None:
    shop = postgres_shop
    shop("migrate")
    found = kinds(shop)
    subjects = ["server", "autovacuum", "synchronous_commit", "snapshots", "connections", "pooler", "clock"]
    assert set(subjects) <= set(found)
    assert found["pooler"] == found["server"] == found["clock"] == "well"
    assert found["fsync"] == "bad"  # the server of the tests is a throw-away one
    assert shop("doctor").code == 1


def test_a_store_that_is_not_there_needs_a_person_and_makes_no_file(small_shop: Shop) -> None:
    for url in ("sqlite:///nowhere.db", "postgresql://nobody@127.0.0.1:1/none"):
        answer = small_shop.bare("doctor", "--store", url)
        assert answer.code == 1
        assert answer.out.startswith("✗ store") and "\n? the rest" in answer.out
    assert not Path("nowhere.db").exists()


def test_a_schema_that_does_not_fit_needs_a_person(shop: Shop) -> None:
    shop("migrate")
    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.version SET number = 99 WHERE number = 1")
    answer = shop("doctor")
    assert answer.code == 1 and "✗ schema" in answer.out and "Upgrade dutiful" in answer.out


def test_workers_are_counted_and_what_none_would_run_is_named(shop: Shop) -> None:
    shop.enqueue("mail", "to=ann")
    shop.enqueue("charge", "order_id=1")
    shop.app.close()
    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.job SET run_at = run_at - 120000000")
        assert "None is alive, and 2 jobs are due" in shop("doctor").out
        worker = start(engine.run, ["default"], {"chrage": 1}, concurrency=4)
        out = shop("doctor").out
        assert "1 is alive, with 4 slots, release r1." in out
        assert "1 job of charge in queue default, and no worker of it knows that task" in out
        assert "did you mean chrage?" in out and "Deploy the code that declares it" in out
        assert "1 job is due in queue mail, which no live worker takes." in out
        write(engine, "UPDATE dutiful.worker SET beat_at = beat_at - 60000000 WHERE id = %s", worker)
        assert f"Worker {worker} (w-1, pid 11, release r1) has been silent for 1m" in shop("doctor").out
        engine.run(workers.leave(worker))
        assert "silent" not in shop("doctor").out


# ── explain ─────────────────────────────────────────────────────────────────────────────────


def test_every_error_has_an_example() -> None:
    assert set(EXAMPLES) == {kind.code for kind in all_errors()}


@pytest.mark.parametrize("typed", ["DE203", "de203", "203", "KeyReused", "keyreused", " DE203."])
def test_an_error_is_found_by_code_number_or_name(small_shop: Shop, typed: str) -> None:
    answer = small_shop.bare("explain", typed)
    assert answer.code == 0
    assert answer.out.startswith("DE203 KeyReused   (caught by: EnqueueError, DutifulError)")
    assert "on_duplicate" in answer.out and "@app.task(once=" in answer.out


def test_all_errors_are_listed_and_a_near_one_is_offered(small_shop: Shop) -> None:
    listed = small_shop.bare("explain").out.splitlines()
    assert len(listed) == 1 + len(EXAMPLES)
    near = small_shop.bare("explain", "KeyReusd")
    assert near.code == 2 and "Near it: KeyReused" in near.err
    assert {one["code"] for one in small_shop.bare("explain", "--json").document["errors"]} == set(EXAMPLES)


# ── documents ───────────────────────────────────────────────────────────────────────────────

JOB = {
    "id", "state", "shown", "outcome", "reason", "task", "queue", "priority", "key", "attempt", "crashes",
    "enqueued_at", "run_at", "claimed_at", "ended_at",
}  # fmt: skip


def test_the_fields_of_a_job_are_frozen(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    [line] = shop("job", "list", "--json").document["jobs"]
    assert line.keys() == JOB | {"error", "args_text"}
    job = shop("job", "show", id, "--json").document["job"]
    assert job.keys() == JOB | {
        "app", "epoch", "delivery", "run_no", "suspect", "worker", "args_version", "args", "result",
        "started_at", "in_doubt_at", "doubt", "cancel_asked_at", "deadline",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", job["enqueued_at"])
    [queue] = shop("queue", "list", "--json").document["queues"]
    assert queue.keys() == {
        "name", "due", "later", "running", "in_doubt", "dead", "oldest_due_at", "oldest_due_s", "target_s",
        "late", "workers", "limit", "limit_declared", "limited", "slots_taken", "paused",
    }  # fmt: skip
