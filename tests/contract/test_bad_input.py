"""What is wrong is said: what happened, why, and what to type; and nothing is lost or half written."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dutiful import App, PayloadTooLarge, StoreUnreachable, WrongArgument
from dutiful.engines.urls import open_engine
from dutiful.model import errors
from dutiful.operations import verify


def shop(url: str) -> App:
    app = App("shop", url)

    @app.task(once="receipt:{order_id}")
    def send(order_id: int, note: str = "") -> None: ...

    @app.task()
    def plain(text: str) -> None: ...

    return app


def task(app: App, name: str):  # type: ignore[no-untyped-def]
    return next(task for full, task in app.tasks.items() if full.endswith(f".{name}"))


def stored(app: App) -> int:
    from dutiful.operations import inspect

    return len(app.engine.run(inspect.jobs("shop", limit=1000)))


def test_arguments_are_refused_with_the_field_named(store_url: str) -> None:
    app = shop(store_url)
    app.migrate()
    for args, kwargs, said in [
        (("7",), {}, "order_id is a str, not an int"),
        ((), {}, "order_id is missing"),
        ((7,), {"nope": 1}, "nope is unknown"),
        ((7,), {"noet": "x"}, "did you mean note?"),
    ]:
        with pytest.raises(WrongArgument, match=said.replace("?", r"\?")):
            task(app, "send").enqueue(*args, **kwargs)
    with pytest.raises(PayloadTooLarge, match="the limit is 65,536"):
        task(app, "plain").enqueue("x" * 70_000)
    with pytest.raises(errors.UnknownTask, match="did you mean"):
        app.find_task(task(app, "send").name.replace("send", "sned"))
    with pytest.raises(WrongArgument):
        app.enqueue_many(task(app, "send"), [(1,), (2,), ("three",)])
    assert stored(app) == 0
    app.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("shop.db", "no scheme"),
        ("mysql://x/y", "no kind of store"),
        ("postgresql+psycopg://x/y", "names a driver"),
        ("sqlite://shop.db", "Three slashes"),
        ("sqlite:///shop.db?colour=blue", "colour"),
        ("sqlite:///shop.db?driver=duck", "driver is sqlite3 or apsw"),
        ("postgresql://h/d?pooler=session", "pooler is transaction"),
    ],
)
def test_a_wrong_url_is_refused_at_once(url: str, said: str) -> None:
    with pytest.raises(errors.InvalidUrl) as refused:
        App("shop", url)
    assert said in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql+psycopg://ann:secret@h/d", "postgresql://ann:secret@h/d?nope=1"])
def test_a_refused_url_shows_no_password(url: str) -> None:
    with pytest.raises(errors.InvalidUrl) as refused:
        App("shop", url)
    assert "secret" not in str(refused.value)


def test_an_unreachable_server_is_said_with_its_place_and_no_password() -> None:
    app = App("shop", "postgresql://ann:secret@127.0.0.1:1/shop")

    @app.task()
    def work() -> None: ...

    with pytest.raises(StoreUnreachable) as refused:
        work.enqueue()
    assert "127.0.0.1:1" in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.postgres
def test_a_database_without_tables_says_migrate(empty_postgres_url: str) -> None:
    app = shop(empty_postgres_url)
    with pytest.raises(errors.SchemaMissing, match="dutiful migrate"):
        task(app, "send").enqueue(1)
    app.migrate()
    assert not task(app, "send").enqueue(1).duplicate
    app.close()


def test_a_schema_newer_than_the_code_is_refused(store_url: str) -> None:
    app = shop(store_url)
    app.migrate()
    app.close()
    if store_url.startswith("postgres"):
        import psycopg

        with psycopg.connect(store_url) as conn:
            conn.execute("INSERT INTO dutiful.version VALUES (999, 'later', 0)")
    else:
        path = store_url.removeprefix("sqlite:///").partition("?")[0]
        with contextlib.closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("INSERT INTO dutiful_version VALUES (999, 'later', 0)")
    for attempt in (lambda: task(app, "send").enqueue(1), app.migrate):
        with pytest.raises(errors.SchemaTooNew, match="version 999"):
            attempt()
    app.close()


def test_two_sqlite_builds_on_one_file_are_refused(sqlite_url: str) -> None:
    apsw = pytest.importorskip("apsw")
    path = sqlite_url.removeprefix("sqlite:///")
    app = shop(sqlite_url)
    handle = task(app, "send").enqueue(1)
    with pytest.raises(errors.TwoSqliteBuilds, match="driver=apsw"):
        apsw.Connection(path)
    assert handle.job().state == "ready"
    app.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; the page limit is tested instead")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip(f"mount is not allowed here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.parametrize("driver", ["sqlite3", "apsw"])
def test_a_full_disk_is_said_and_nothing_is_half_written(small_disk: Path, driver: str) -> None:
    app = shop(f"sqlite:///{small_disk}/jobs.db?driver={driver}")
    kept = 0
    with pytest.raises(errors.StoreFull, match="Free some space"):
        for _ in range(10_000):
            task(app, "plain").enqueue("x" * 10_000)
            kept += 1
    assert kept > 0 and stored(app) == kept
    assert app.engine.run(verify.check("shop")) == []
    app.close()


def test_a_full_database_is_said_too(sqlite_url: str) -> None:
    """The same by SQLite's own limit of pages, for those who cannot mount."""
    app = shop(sqlite_url)
    task(app, "plain").enqueue("first")
    writer = app.engine._writer  # type: ignore[attr-defined]
    [(pages,)] = writer.execute("PRAGMA page_count")
    writer.execute(f"PRAGMA max_page_count = {pages + 20}")
    with pytest.raises(errors.StoreFull):
        for _ in range(1000):
            task(app, "plain").enqueue("x" * 10_000)
    assert app.engine.run(verify.check("shop")) == []
    app.close()


def test_a_file_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "ro"
    folder.mkdir()
    url = f"sqlite:///{folder}/jobs.db"
    app = shop(url)
    handle = task(app, "send").enqueue(1)
    app.close()
    if os.geteuid() == 0:
        mounted = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True)
        again = subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], capture_output=True)
        if mounted.returncode or again.returncode:
            pytest.skip("root may write everywhere, and mount is not allowed here")
    else:
        (folder / "jobs.db").chmod(0o400)
        folder.chmod(0o500)
    try:
        refusals = (errors.StoreReadOnly, errors.StoreUnreachable)
        with pytest.raises(refusals, match=r"permission|may this user"):
            task(app, "send").enqueue(2)
        app.close()
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        else:
            folder.chmod(0o700)
            (folder / "jobs.db").chmod(0o600)
    assert handle.job().state == "ready" and stored(app) == 1
    app.close()


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Ann, this is no database at all. " * 100)
    with pytest.raises(errors.StoreUnreachable, match="no SQLite database"):
        open_engine(f"sqlite:///{path}").migrate()
    with pytest.raises(errors.StoreUnreachable, match="Does the folder exist"):
        open_engine(f"sqlite:///{tmp_path}/nowhere/jobs.db").migrate()
