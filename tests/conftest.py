"""Fixtures for all tests: databases of their own, made in milliseconds, and skips with a name.

`sqlite_url` and `postgres_url` are a fresh migrated database for each test; `store_url` runs the test
on SQLite, SQLite by apsw, and PostgreSQL. `pg_server` is the shared server; a test that stops or
breaks a server takes `own_pg_server`. `redis_url` is a Redis that is emptied for each test.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import re
import signal
import sys
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

from devtools.needs import CHROMIUM, NEEDS, POSTGRES, REDIS, Need
from devtools.servers import PostgresConnection, PostgresServer, RedisServer
from tests.databases import Databases
from tests.order import long_first
from tests.servers import SharedPostgres, shared_postgres

LACKING = re.compile(r"needs a (.+): not found here")

settings.register_profile("dutiful", deadline=None, print_blob=True)
settings.load_profile("dutiful")

EVERY_PAIR = "DUTIFUL_EVERY_PAIR"
"""Set, or where tests are chosen, each goes over every driver, by either face; else see ``_repeats``."""

SHARED = pytest.StashKey[SharedPostgres]()
REPORT = pytest.StashKey[int]()  # the pipe to `./dev test`
names = itertools.count(1)
worker_pids: list[int] = []


# Databases


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that is not there yet: an engine makes and migrates it when it opens it."""
    return f"sqlite:///{tmp_path / 'dutiful.db'}"


@pytest.fixture
def sqlite_apsw_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'dutiful.db'}?driver=apsw"


@pytest.fixture
def postgres_url(pg_server: PostgresConnection, databases: Databases) -> Iterator[str]:
    """A migrated PostgreSQL database with no row in it. The test may do with it as it likes."""
    name = databases.take()
    yield pg_server.url(name)
    databases.give_back(name)


@pytest.fixture(scope="session")
def databases(pg_server: PostgresConnection, migrated_template: str) -> Iterator[Databases]:
    """Copies of the migrated template, for this process of the run."""
    kept = Databases(pg_server, migrated_template)
    yield kept
    kept.close()


@pytest.fixture
def empty_postgres_url(pg_server: PostgresConnection) -> Iterator[str]:
    """A PostgreSQL database without any table of ours."""
    name = _fresh_name()
    yield pg_server.create_database(name)
    pg_server.drop_database(name)


@pytest.fixture(
    params=[
        pytest.param("sqlite_url", id="sqlite"),
        pytest.param("sqlite_apsw_url", id="sqlite-apsw"),
        pytest.param("postgres_url", id="postgres", marks=pytest.mark.postgres),
    ]
)
def store_url(request: pytest.FixtureRequest) -> str:
    """The test runs once for each kind of store."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(scope="session")
def migrated_template(pg_server: PostgresConnection) -> str:
    """The database that every `postgres_url` is a copy of, one for each process of the run."""
    from dutiful.engines.urls import open_engine

    name = f"template_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    engine = open_engine(pg_server.create_database(name))
    try:
        engine.migrate()
    finally:
        engine.close()
    return name


@pytest.fixture(scope="session")
def pg_server() -> Iterator[PostgresConnection]:
    """The server that all tests share: nobody may stop it or change its settings."""
    _require(POSTGRES)
    server = shared_postgres()
    yield server
    server.close()


@pytest.fixture
def own_pg_server() -> Iterator[PostgresServer]:
    """A server for this test alone, to be stopped, killed and started at will (about 1 s)."""
    _require(POSTGRES)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One for each process of the run."""
    _require(REDIS)
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    redis_server.flush()
    return redis_server.url()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The program."""
    return _require(CHROMIUM)


# Hooks


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs behind it so, and every process of a test would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _is_worker(config):
        return
    if report := os.environ.pop("DUTIFUL_TEST_REPORT", None):
        config.stash[REPORT] = int(report)
        _end_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    if POSTGRES.here() is not None:
        shared = config.stash[SHARED] = SharedPostgres()
        shared.open()


def pytest_unconfigure(config: pytest.Config) -> None:
    shared = config.stash.get(SHARED, None)
    if shared is not None:
        shared.close()


def _repeats(item: pytest.Item) -> bool:
    """Whether it shows what its neighbours show, over another driver or through the other face.

    Each operation is in many tests; so a part of them, by the sum of their names, is enough to show that
    apsw and the async face do with it what ``sqlite3`` and the plain face do. A cut on SQLite is the same by
    either face.
    """
    callspec = getattr(item, "callspec", None)
    ways = [] if callspec is None else [way for way in callspec.params.values() if isinstance(way, str)]
    async_face = "arun" in ways
    if "migrated_sqlite_apsw_url" in ways:
        return async_face or not _chosen(item, 3)
    cut = "tests/crash/" in item.nodeid
    if async_face and "reused_postgres_url" in ways:
        return not _chosen(item, 4 if cut else 2)
    return async_face and cut


def _chosen(item: pytest.Item, one_in: int) -> bool:
    return zlib.crc32(item.nodeid.encode()) % one_in == 0


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that takes a server's fixture need not carry the marker as well; long files come first."""
    by_fixture = {
        "pg_server": "postgres",
        "own_pg_server": "postgres",
        "redis_server": "redis",
        "chromium": "chromium",
    }
    whole = [Path(argument).name for argument in config.args] == ["tests"]
    if whole and not os.environ.get(EVERY_PAIR):
        items[:] = [item for item in items if not _repeats(item)]
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in by_fixture:
                item.add_marker(by_fixture[fixture])
    if _is_worker(config):
        items[:] = long_first(items, [item.nodeid.partition("::")[0] for item in items])


def pytest_runtest_setup(item: pytest.Item) -> None:
    for need in NEEDS:
        if item.get_closest_marker(need.name):
            _require(need)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """xdist has started a worker."""
    worker_pids.append(node.gateway._io.popen.pid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was skipped by name, and hands the numbers to `./dev test`."""
    stats = terminalreporter.stats
    lacking: dict[str, int] = {}
    for report in stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if found := LACKING.search(reason):
            need = next(need for need in NEEDS if need.title == found.group(1))
            lacking[need.name] = lacking.get(need.name, 0) + 1
    pipe = terminalreporter.config.stash.get(REPORT, None)
    if pipe is not None:
        number = {
            outcome: len(stats.get(outcome, ())) for outcome in ("passed", "failed", "error", "skipped")
        }
        number["failed"] += number.pop("error")
        os.write(pipe, json.dumps({**number, "lacking": lacking}).encode())


def _require(need: Need) -> Path:
    path = need.here()
    if path is None:
        pytest.skip(f"needs a {need.title}: not found here")
    return path


def _fresh_name() -> str:
    return f"t{next(names)}_{uuid.uuid4().hex[:12]}"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: fixtures and the server are taken down in order."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for pid in worker_pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A `./dev test` that is killed takes its pytest along (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
