"""The doctor on real servers and files: each check with what it must find planted, and once content.

The judgements over all their readings stand in ``test_doctor_notes.py``; here it is looked whether the
readings are taken, and taken where the trouble is.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.servers import PostgresServer
from dutiful.engines import filesystems
from dutiful.operations import registry
from dutiful.supervise import notes, pooler_health
from dutiful.worker.bookkeeping import declared_of
from tests.cli.conftest import Shop
from tests.cli.poolers import Pooler
from tests.contract.stores import opened, write
from tests.contract.test_why import start

MORE = """
@app.task(once="slow:{x}", delivery="at_most_once", timeout="5m", remember="40d")
def slow(x: int) -> None: ...


@app.task(once="old:{x}", timeout="20s", late=dutiful.Late("30d"))
def old(x: int) -> None:
    httpx.post("https://pay.example", json={"x": x}, timeout=TIMEOUT)
"""
WELL = """
app = dutiful.App("calm", URL)


@app.task(once="slow:{x}", delivery="at_most_once", timeout="20s")
def slow(x: int) -> None: ...


@app.task(once="old:{x}", timeout="20s", late=dutiful.Late("5d"))
def old(x: int) -> None:
    httpx.post("https://pay.example", json={"x": x}, timeout=5)
"""


def said(shop: Shop, *args: str, bare: bool = False) -> dict[str, list[dict[str, str]]]:
    """The notes by subject; that nothing is well that is also something else is looked at on the way."""
    call = shop.bare if bare else shop
    document = call("doctor", "--json", *args).document
    found: dict[str, list[dict[str, str]]] = {}
    for note in document["notes"]:
        found.setdefault(note["subject"], []).append(note)
        assert note["why"], note
        assert note["hint"] or note["kind"] in ("well", "unknown"), note
    kinds = {note["kind"] for note in document["notes"]}
    assert document["verdict"] == (
        "bad" if "bad" in kinds else "cannot say" if "unknown" in kinds else "well"
    )
    return found


def worst(found: list[dict[str, str]]) -> str:
    order = ["well", "note", "skipped", "unknown", "bad"]
    return max((note["kind"] for note in found), key=order.index)


def text(found: list[dict[str, str]]) -> str:
    return " ".join(f"{note['text']} {note['hint']}" for note in found)


def declare(shop: Shop, source: str, timeout: str = "30") -> None:
    path = shop.folder / f"{shop.module}.py"
    head = path.read_text() if source is MORE else '"""Calm."""\n\nimport dutiful\n'
    body = source.replace("URL", repr(shop.url)).replace("TIMEOUT", timeout)
    path.write_text(f"{head}\nimport httpx\n{body}")


# ── tasks, on either store ──────────────────────────────────────────────────────────────────


def test_tasks_that_are_declared_amiss_are_found(shop: Shop) -> None:
    declare(shop, MORE)
    shop("migrate")
    found = said(shop)
    slow = f"{shop.module}.slow"
    assert worst(found["timeouts"]) == "bad"
    assert f"{slow}: up to 5m, longer than 25s, the default shutdown budget" in text(found["timeouts"])
    assert "2 of 4 tasks have none: charge, mail" in text(found["timeouts"])
    [horizon] = found["ledger horizon"]
    assert (
        horizon["kind"] == "bad"
        and "may run 30d late" in horizon["text"]
        and 'remember="30d"' in horizon["hint"]
    )
    [call] = found["calls"]
    assert call["kind"] == "bad" and "with 30 s, and has 20s itself" in call["text"]
    assert worst(said(shop, "--drain-timeout", "5m")["timeouts"]) == "note"
    assert shop("doctor", "--drain-timeout", "soon").code == 2


def test_tasks_that_are_declared_well_are_well(small_shop: Shop) -> None:
    declare(small_shop, WELL)
    small_shop("migrate")
    found = said(small_shop)
    for subject in ("timeouts", "ledger horizon", "calls", "at_most_once"):
        assert worst(found[subject]) == "well", found[subject]
    assert "7d, and as long" in text(found["ledger horizon"]) and "1 with a limit" in text(found["calls"])
    assert "slow: each start is on the disk" in text(found["at_most_once"])


@pytest.mark.parametrize(
    ("timeout", "kind"), [("httpx.Timeout(30)", "bad"), ("httpx.Timeout(3)", "well"), ("LIMIT", "note")]
)
def test_limits_of_calls_are_read_from_the_text(small_shop: Shop, timeout: str, kind: str) -> None:
    declare(small_shop, MORE, timeout)
    path = small_shop.folder / f"{small_shop.module}.py"
    path.write_text(path.read_text().replace("import httpx\n", "import httpx\n\nLIMIT = 3\n"))
    small_shop("migrate")
    assert worst(said(small_shop)["calls"]) == kind


def test_what_is_not_looked_at_is_not_called_well(small_shop: Shop) -> None:
    small_shop("migrate")
    store = ["--store", small_shop.url]
    answer = small_shop.bare("doctor", *store)
    assert answer.code == 0 and answer.out.endswith("as far as is checked; 4 not looked at.\n")
    found = said(small_shop, *store, bare=True)
    for subject in ("at_most_once", "timeouts", "ledger horizon", "calls"):
        assert worst(found[subject]) == "skipped" and "Not looked at, because" in text(found[subject])


def test_without_the_code_the_registry_tells_of_tasks(shop: Shop) -> None:
    declare(shop, MORE)
    shop.enqueue("mail", "to=ann")
    shop.app.engine.run(
        registry.register("shop", "r1", [declared_of(task) for task in shop.app.tasks.values()])
    )
    shop.app.close()
    store = ["--store", shop.url]
    found = said(shop, *store, bare=True)
    assert worst(found["timeouts"]) == "bad" and "up to 5m" in text(found["timeouts"])
    assert worst(found["ledger horizon"]) == worst(found["calls"]) == "skipped"
    assert "slow" in text(found["at_most_once"])


def test_a_reconciliation_beyond_what_is_remembered_is_found(shop: Shop) -> None:
    shop.enqueue("mail", "to=ann")
    shop.app.close()
    with opened(shop.url) as engine:
        write(
            engine,
            "INSERT INTO dutiful.reconcile (app, name, task, spec, every, reach, memory, whole, declared_at,"
            " changed_at, next_at, wants) VALUES ('shop', 'r', 'mail', 's', 1, 10, 1000, 1, 1, 1, 1, '')",
        )
        assert worst(said(shop)["ledger horizon"]) == "well"
        write(
            engine,
            "INSERT INTO dutiful.reconcile_finding (app, name, key, class, first_seen, last_seen, due,"
            " last_run, made) VALUES ('shop', 'r', 'k', 'missing', 5000, 5000, 1, 1, true)",
        )
        [horizon] = said(shop)["ledger horizon"]
    assert horizon["kind"] == "bad" and "was enqueued anew" in horizon["text"]


def test_a_worker_that_misses_beats_is_named(shop: Shop) -> None:
    shop("migrate")
    with opened(shop.url) as engine:
        worker = start(engine.run, ["default", "mail"], {"charge": 1, "mail": 1})
        assert worst(said(shop)["workers of shop"]) == "well"
        write(engine, "UPDATE dutiful.worker SET beat_at = beat_at - 15000000 WHERE id = %s", worker)
        found = said(shop)["workers of shop"]
    assert worst(found) == "bad" and re.search(r"has missed \d of its 10 beats", text(found))


# ── files ───────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_was_set_back_to_rollback_is_found(small_shop: Shop) -> None:
    small_shop("migrate")
    small_shop.app.close()
    path = small_shop.url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode = delete").fetchone() == ("delete",)
    found = said(small_shop)
    assert worst(found["journal_mode"]) == "bad" and "not wal, but rollback" in text(found["journal_mode"])
    small_shop.app.close()
    assert worst(said(small_shop)["journal_mode"]) == "well"


def test_durability_is_that_of_the_url(small_shop: Shop) -> None:
    small_shop("migrate")
    for word, kind in (("normal", "note"), ("full", "well")):
        url = f"{small_shop.url}?synchronous={word}"
        assert worst(said(small_shop, "--store", url, bare=True)["synchronous"]) == kind


@pytest.mark.parametrize(
    ("mounted", "kind"),
    [("nfs4", "bad"), ("fuse.sshfs", "bad"), ("9p", "note"), ("xfs", "well"), (None, "unknown")],
)
def test_a_file_system_is_named(
    small_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: str | None, kind: str
) -> None:
    small_shop("migrate")
    small_shop.app.close()
    table = tmp_path / "mountinfo"
    if mounted is not None:
        table.write_text(f"1 1 0:1 / {tmp_path} rw - {mounted} server:/export rw\n")
    else:
        table.write_text("")
    monkeypatch.setattr(filesystems, "_MOUNTINFO", table)
    found = said(small_shop, "--store", small_shop.url, bare=True)
    assert worst(found["file system"]) == kind
    assert mounted is None or mounted in text(found["file system"])


# ── servers ─────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def admin(url: str, **settings: Any) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(url, autocommit=True, **settings) as connection:
        yield connection


@pytest.mark.postgres
def test_a_server_that_is_set_up_well_is_well_until_it_is_set_up_badly(small_shop: Shop) -> None:
    shop = small_shop
    given = {"max_connections": 15, "wal_level": "logical", "max_prepared_transactions": 1}
    with PostgresServer({"fsync": "on", "full_page_writes": "on", **given}) as server:
        shop.url = server.create_database("calm")
        declare(shop, WELL)
        shop("migrate")
        answer = shop("doctor")
        assert answer.code == 0, answer.out
        assert answer.out.endswith("✓ All is well, as far as is checked.\n")
        shop.app.close()
        with admin(shop.url) as connection:
            connection.execute("SET statement_timeout = '20s'")
            connection.execute("SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
            for command in ("BEGIN", "CREATE TABLE t (x int)", "PREPARE TRANSACTION 'left'"):
                connection.execute(command)
            for setting in (
                "autovacuum = off",
                "synchronous_standby_names = 'b'",
            ):
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("ALTER DATABASE calm SET synchronous_commit = local")
            connection.execute("SELECT pg_reload_conf()")
            until = time.monotonic() + 30
            while connection.execute("SHOW autovacuum").fetchone() != ("off",):
                assert time.monotonic() < until
                time.sleep(0.02)
        with contextlib.ExitStack() as others:
            for _ in range(9):
                others.enter_context(admin(shop.url))
            found = said(shop)
        shop.app.close()
    assert worst(found["connections"]) == "bad" and "of 12 are used" in text(found["connections"])
    snapshots = text(found["snapshots"])
    assert worst(found["snapshots"]) == "bad" and "1 inactive replication slot" in snapshots
    assert "1 prepared transaction" in snapshots
    assert worst(found["autovacuum"]) == "bad" and worst(found["synchronous_commit"]) == "note"
    assert "each start waits for b, whatever the setting" in text(found["at_most_once"])
    assert worst(found["fsync"]) == worst(found["full_page_writes"]) == "well"


@pytest.mark.postgres
def test_what_is_wrong_with_a_database_is_found(postgres_shop: Shop) -> None:
    shop = postgres_shop
    declare(shop, MORE)
    shop("migrate")
    before = said(shop)
    for subject in ("synchronous_commit", "autovacuum", "pooler", "clock", "terminate", "transaction ids",
                    "connections", "server"):  # fmt: skip
        assert worst(before[subject]) == "well", before[subject]
    assert worst(before["at_most_once"]) == "well" and "no standby follows" in text(before["at_most_once"])
    assert worst(before["fsync"]) == worst(before["full_page_writes"]) == "bad"  # the tests' server
    shop.app.close()
    with admin(shop.url) as connection:
        [(name,)] = connection.execute("SELECT current_database()").fetchall()
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.execute("ALTER TABLE dutiful.job SET (autovacuum_enabled = off)")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC")
        role = f"small_{shop.module}"
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA dutiful TO {role}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA dutiful TO {role}")
        try:
            with follower(shop.url):
                found = said(shop)
            url = shop.url.replace("//dutiful@", f"//{role}@")
            small = said(shop, "--store", url, bare=True)
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
    assert worst(found["synchronous_commit"]) == "bad"
    assert "It is off for tables of dutiful's: job" in text(found["autovacuum"])
    assert worst(found["at_most_once"]) == "bad" and "1 standby follows" in text(found["at_most_once"])
    assert worst(small["terminate"]) == "bad" and "permission denied" in text(small["terminate"])


@contextlib.contextmanager
def follower(url: str) -> Iterator[None]:
    """A standby, as far as the server can tell: a connection that takes its log."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        [(at,)] = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchall()
    sender = psycopg.pq.PGconn.connect(psycopg.conninfo.make_conninfo(url, replication="true").encode())
    try:
        sender.exec_(f"START_REPLICATION PHYSICAL {at}".encode())
        yield
    finally:
        sender.finish()


@pytest.mark.parametrize(
    ("mode", "option", "kind", "says"),
    [
        ("transaction", "", "bad", "Add pooler=transaction"),
        ("transaction", "?pooler=transaction", "well", "as the URL says"),
        ("session", "?pooler=transaction", "note", "as if by session"),
        ("statement", "?pooler=transaction", "bad", "refuses transactions"),
    ],
)
def test_a_pooler_is_told_by_how_it_behaves(
    postgres_shop: Shop, mode: str, option: str, kind: str, says: str
) -> None:
    port = re.search(r":(\d+)/", postgres_shop.url)
    assert port is not None
    with Pooler(int(port[1]), mode) as pooler:
        url = postgres_shop.url.replace(f":{port[1]}/", f":{pooler.port}/") + option
        found = said(postgres_shop, "--store", url, bare=True)
    assert worst(found["pooler"]) == kind and says in text(found["pooler"])
    assert worst(found["terminate"]) == "skipped"


def test_a_clock_that_is_off_is_noted(postgres_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres_shop("migrate")
    real = pooler_health.time.time_ns
    monkeypatch.setattr(pooler_health.time, "time_ns", lambda: real() - 60 * 10**9)
    [clock] = said(postgres_shop)["clock"]
    assert clock["kind"] == "note" and "behind the server's" in clock["text"]


def test_every_subject_says_why_it_matters() -> None:
    assert all(why.endswith(".") for why in notes.WHY.values())
