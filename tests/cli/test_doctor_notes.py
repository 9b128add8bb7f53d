"""The doctor's judgements, each over its readings: what is well, worth knowing, bad, or unknown."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from dutiful.operations.health import Due
from dutiful.operations.why_facts import WorkerFact
from dutiful.supervise import pooler_health, postgres_health, sqlite_health, worker_health
from dutiful.supervise.doctor import Examination
from dutiful.supervise.notes import Note, bad, note, unknown, well
from tests.cli.conftest import Shop

S = 1_000_000
GOOD = {
    "server_version": "16.3 (Debian)", "server_version_num": "160003", "in_recovery": "false", "fsync": "on",
    "full_page_writes": "on", "synchronous_commit": "on", "synchronous_standby_names": "", "autovacuum": "on",
    "track_counts": "on", "dead_rows": "10", "live_rows": "20", "sees_all": "true", "connections": "9",
    "max_connections": "100", "superuser_reserved_connections": "3", "slots_holding": "0", "prepared": "0",
    "standbys": "0", "xid_age": "1000", "mxid_age": "1000",
}  # fmt: skip


def kinds(notes: Iterable[Note]) -> set[str]:
    return {found.kind for found in notes} - {"well"}


@pytest.mark.parametrize(
    ("readings", "kind"),
    [
        ({}, set()),
        ({"server_version_num": "120000"}, {"bad"}),
        ({"in_recovery": "true"}, {"bad"}),
        ({"fsync": "off"}, {"bad"}),
        ({"full_page_writes": "off"}, {"bad"}),
        ({"synchronous_commit": "off"}, {"bad"}),
        ({"synchronous_commit": "local"}, set()),
        ({"synchronous_commit": "local", "synchronous_standby_names": "b"}, {"note"}),
        ({"autovacuum": "off"}, {"bad"}),
        ({"track_counts": "off"}, {"bad"}),
        ({"vacuum_off": "job"}, {"bad"}),
        ({"dead_rows": "100000"}, set()),
        ({"dead_rows": "100001"}, {"bad"}),
        ({"xid_age": "500000000"}, {"note"}),
        ({"mxid_age": "1500000000"}, {"bad"}),
        ({"snapshot_s": "599"}, set()),
        ({"snapshot_s": "600"}, {"note"}),
        ({"snapshot_s": "22000"}, {"bad"}),
        ({"snapshot_xids": "200000000"}, {"bad"}),
        ({"sees_all": "false"}, {"note"}),
        ({"slots_holding": "1"}, {"bad"}),
        ({"prepared": "2"}, {"note"}),
        ({"connections": "77"}, set()),
        ({"connections": "78"}, {"bad"}),
    ],
)
def test_a_server_is_judged_by_its_readings(readings: dict[str, str], kind: set[str]) -> None:
    told = GOOD | readings
    judges = [
        postgres_health.server, postgres_health.durability, postgres_health.vacuum, postgres_health.snapshots,
        postgres_health.ids, postgres_health.room,
    ]  # fmt: skip
    assert kinds(found for judge in judges for found in judge(told)) == kind


@pytest.mark.parametrize(
    ("mode", "declared", "kind"),
    [
        ("none", False, "well"), ("none", True, "note"), ("session", False, "note"),
        ("session", True, "note"), ("transaction", True, "well"), ("transaction", False, "bad"),
        ("statement", True, "bad"),
    ],
)  # fmt: skip
def test_a_pooler_is_judged_by_what_the_url_says(mode: pooler_health.Mode, declared: bool, kind: str) -> None:
    assert pooler_health.pooler(mode, declared=declared).kind == kind


@pytest.mark.parametrize(
    ("readings", "names", "kind"),
    [
        ({"standbys": "1"}, [], "well"),
        ({}, ["charge"], "well"),
        ({"standbys": "1"}, ["charge"], "bad"),
        ({"standbys": "1", "synchronous_standby_names": "b"}, ["charge"], "well"),
    ],
)
def test_starts_that_a_failover_may_forget(readings: dict[str, str], names: list[str], kind: str) -> None:
    assert [one.kind for one in postgres_health.at_most_once(GOOD | readings, names)] == [kind]


@pytest.mark.parametrize(
    ("skew", "give", "kind", "says"),
    [
        (0, 0, "well", "agree"),
        (2 * S, S, "well", "agree"),
        (5 * S, S, "note", "behind"),
        (-5 * S, S, "note", "ahead of"),
        (0, 3 * S, "unknown", "too long"),
    ],
)
def test_clocks_are_compared_as_far_as_the_way_allows(skew: int, give: int, kind: str, says: str) -> None:
    found = pooler_health.clock(skew, give)
    assert found.kind == kind and says in found.text


@pytest.mark.parametrize(
    ("driver", "version", "kind"),
    [
        ("sqlite3", "3.34.1", "bad"),
        ("sqlite3", "3.40.1", "note"),
        ("sqlite3", "3.51.2", "note"),
        ("sqlite3", "3.51.3", None),
        ("sqlite3", "3.50.7", None),
        ("apsw", "3.54.1", None),
    ],
)
def test_a_build_is_judged_by_its_version(driver: str, version: str, kind: str | None) -> None:
    first, *_ = sqlite_health.build(driver, version)
    assert first.kind == (kind or "well") and version in first.text and driver in first.text


def test_durability_of_a_file() -> None:
    assert [next(iter(sqlite_health.durability(n))).kind for n in "0123"] == ["bad", "note", "well", "well"]


def test_the_verdict_is_the_worst_and_a_person_outranks_what_is_unknown() -> None:
    good, odd, worse, dark = well("a", "b"), note("a", "b"), bad("a", "b"), unknown("a", "b")
    assert Examination((good, odd)).verdict == "well"
    assert Examination((good, dark)).verdict == "cannot say"
    assert Examination((dark, worse, good)).verdict == "bad"


WORKER = WorkerFact(1, "w-1", 11, ("mail",), {"send": 1}, release="r1", slots=4)
DUE = Due("mail", "send", 1, 3, 0)
NOW = 10**15


def said(found: list[WorkerFact], due: list[Due], known: dict[str, int] | None = None) -> str:
    notes = worker_health.workers("shop", found, due, NOW, known)
    return "\n".join(f"{one.kind}: {one.text} {one.hint}".strip() for one in notes)


@pytest.mark.parametrize(
    ("workers", "due", "says"),
    [
        ([WORKER], [DUE], "well: 1 is alive, with 4 slots, release r1."),
        (
            [WORKER, replace(WORKER, release="r2")],
            [],
            "2 are alive, with 8 slots, of mixed releases r1, r2.",
        ),
        ([], [], "note: None is alive; nothing is due."),
        ([], [DUE], "bad: None is alive, and 3 jobs are due."),
        (
            [replace(WORKER, beat_age_us=31 * S)],
            [],
            "bad: Worker 1 (w-1, pid 11, release r1) has been silent",
        ),
        (
            [replace(WORKER, beat_age_us=14 * S)],
            [],
            "bad: Worker 1 (w-1, pid 11, release r1) has missed 4 of",
        ),
        ([replace(WORKER, lease_us=2 * S)], [], "note: Worker 1 (w-1, pid 11, release r1) has a lease of 2s"),
        (
            [WORKER],
            [replace(DUE, queue="pdf")],
            "bad: 3 jobs are due in queue pdf, which no",
        ),
        ([WORKER], [replace(DUE, args_version=2)], "bad: 3 jobs of send with arguments of version 2"),
        ([WORKER], [replace(DUE, task="sned")], "no worker of it knows that task (did you mean send?)"),
        ([replace(WORKER, alone=True)], [], "note: None is alive"),
    ],
)
def test_workers_are_judged(workers: list[WorkerFact], due: list[Due], says: str) -> None:
    assert says in said(workers, due)


def test_what_has_just_been_enqueued_is_no_news_yet() -> None:
    fresh = replace(DUE, queue="pdf", oldest_us=NOW - 59 * S)
    assert "bad" not in said([WORKER], [fresh])


def test_a_task_that_the_code_lacks_too_was_renamed() -> None:
    lost = [replace(DUE, task="gone")]
    assert "aliases=" in said([WORKER], lost, {"send": 1})
    assert "Deploy the code" in said([WORKER], lost, {"gone": 1})
    assert "Deploy the code" in said([WORKER], lost, None)


def test_a_held_snapshot_is_seen_and_its_holder_named(
    postgres_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    postgres_shop("migrate")
    monkeypatch.setattr(postgres_health, "SNAPSHOT_S", 0)
    with psycopg.connect(postgres_shop.url, application_name="backup") as held:
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT 1")
        until = time.monotonic() + 30
        while "(backup)" not in (out := postgres_shop("doctor").out):
            assert time.monotonic() < until, out
        assert "(backup), idle in transaction has held a transaction open for" in out
        assert f"SELECT pg_terminate_backend({held.info.backend_pid});" in out


def test_a_role_that_may_see_little_still_gets_an_answer(postgres_shop: Shop) -> None:
    import psycopg

    postgres_shop("migrate")
    role = f"small_{postgres_shop.module}"
    with psycopg.connect(postgres_shop.url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
        admin.execute(f"GRANT USAGE ON SCHEMA dutiful TO {role}")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA dutiful TO {role}")
        try:
            url = postgres_shop.url.replace("//dutiful@", f"//{role}@")
            assert url != postgres_shop.url
            out = postgres_shop.bare("doctor", "--store", url).out
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")
    assert "those of others it may not see" in out and "GRANT pg_read_all_stats" in out
    assert "✓ server" in out and "?" not in {line[:1] for line in out.splitlines()}
