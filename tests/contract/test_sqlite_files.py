"""What surrounds a SQLite file: the libraries in one process, its file system, and its log."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dutiful.engines import builds, checkpoints, filesystems
from dutiful.engines.builds import claim_file, release_file, watch
from dutiful.engines.checkpoints import MIB, NO_CHECKPOINTS, RESET_BYTES, Checkpointer, affected, doctor
from dutiful.engines.filesystems import (
    NETWORK,
    SHARED_WITH_HOST,
    doubts,
    kind_in_mount_listing,
    kind_in_mountinfo,
    refuse_network,
)
from dutiful.engines.sqlite_drivers import Connection, DriverName, driver
from dutiful.model.errors import NetworkFileSystem, TwoSqliteBuilds

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# ── two libraries, one file ─────────────────────────────────────────────────────────────────


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A database in log mode with one table."""
    path = str(tmp_path / "jobs.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, text text)")
    connection.execute(
        "CREATE TABLE dutiful_chore (name text PRIMARY KEY NOT NULL, last_at integer NOT NULL)"
    )
    connection.close()
    return path


@pytest.fixture(autouse=True)
def no_claims() -> Iterator[None]:
    before = dict(builds._claims)
    yield
    assert dict(builds._claims) == before, "a test left a claim"


class Claim:
    def __init__(self, path: str, name: DriverName) -> None:
        self.path, self.name = path, name

    def __enter__(self) -> None:
        claim_file(self.path, self.name)

    def __exit__(self, *_: object) -> None:
        release_file(self.path, self.name)


def names_of(path: str) -> list[object]:
    """Ways to write the same file."""
    link, hard = path + ".link", path + ".hard"
    if not os.path.lexists(link):
        os.symlink(path, link)
        os.link(path, hard)
    return [path, Path(path), os.fsencode(path), os.path.relpath(path), f"file:{path}?mode=ro", link, hard]


def test_sqlite3_cannot_open_a_file_that_apsw_has(path: str) -> None:
    with Claim(path, "apsw"):
        for name in names_of(path):
            with pytest.raises(TwoSqliteBuilds):
                sqlite3.connect(name, uri=True)  # type: ignore[arg-type]
        for name in (":memory:", "", "file::memory:", "file:x?mode=memory&cache=shared", path + "2"):
            sqlite3.connect(name, uri=True).close()
        with pytest.raises(TwoSqliteBuilds):
            claim_file(path, "sqlite3")
    sqlite3.connect(path).close()


def test_apsw_cannot_open_a_file_that_sqlite3_has(path: str) -> None:
    import apsw

    with Claim(path, "sqlite3"):
        for name in names_of(path):
            if not isinstance(name, str):
                continue
            dropped = watch()
            with pytest.raises(TwoSqliteBuilds):
                apsw.Connection(name, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
            assert watch() == dropped + 1, "the engine must learn that its locks are gone"
        for name in (":memory:", "", path + "2"):
            apsw.Connection(name).close()
        with pytest.raises(TwoSqliteBuilds):
            claim_file(path, "apsw")
    apsw.Connection(path).close()


def test_claims_are_counted(path: str) -> None:
    with Claim(path, "apsw"):
        with Claim(path, "apsw"):
            pass
        with pytest.raises(TwoSqliteBuilds):
            sqlite3.connect(path)
    release_file(path, "apsw")  # once too often, after a fork: the child's claims begin with none
    with Claim(path, "sqlite3"):
        pass


def test_a_connection_that_another_thread_is_opening_is_nobody_elses(path: str) -> None:
    """While apsw opens a file it has a descriptor of it, and does not list the connection yet."""
    some_other = sqlite3.connect(":memory:")
    with Claim(path, "apsw"):
        half_open = os.open(path, os.O_RDONLY)
        try:
            with Claim(path, "apsw"):
                pass
        finally:
            os.close(half_open)
            some_other.close()


def test_a_connection_that_was_closed_has_nothing_open() -> None:
    """Such objects stay for a while, and must not make a file of apsw's look like one of sqlite3's."""
    connection = sqlite3.connect(":memory:")
    with ThreadPoolExecutor(1) as other:
        assert other.submit(builds._is_open, connection).result()
        connection.close()
        assert not other.submit(builds._is_open, connection).result()


def test_a_file_that_is_not_there_yet_can_be_claimed(tmp_path: Path) -> None:
    path = str(tmp_path / "new.db")
    with Claim(path, "apsw"):
        with pytest.raises(TwoSqliteBuilds):
            sqlite3.connect(path)
        assert not os.path.exists(path)
        Path(path).touch()
        with pytest.raises(TwoSqliteBuilds):
            sqlite3.connect(path)


def test_a_connection_whose_hook_waits_for_the_claim_is_nobody_elses(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread opens the file by apsw just then; its hook wants the lock under which we look."""
    import apsw

    other = str(tmp_path / "other.db")
    standard = sqlite3.connect(other)
    in_hook = threading.Event()
    opening: list[Future[Any]] = []
    has_descriptor = builds._has_descriptor

    def look(real: str) -> bool:
        if not opening:
            opening.append(pool.submit(apsw.Connection, path))
            assert in_hook.wait(10)
        return has_descriptor(real)

    with ThreadPoolExecutor() as pool, Claim(other, "sqlite3"):
        monkeypatch.setattr(apsw, "connection_hooks", [lambda _: in_hook.set(), *apsw.connection_hooks])
        monkeypatch.setattr(builds, "_has_descriptor", look)
        with Claim(path, "apsw"):
            opening[0].result(10).close()
    standard.close()


def test_what_is_in_memory_is_never_claimed() -> None:
    for name in (":memory:", "", "file::memory:?cache=shared"):
        with Claim(name, "apsw"):
            sqlite3.connect(name, uri=True).close()
            with Claim(name, "sqlite3"):
                pass


def test_an_older_connection_of_the_other_library_is_found(path: str) -> None:
    import apsw

    standard = sqlite3.connect(path)
    with pytest.raises(TwoSqliteBuilds):
        claim_file(path, "apsw")
    standard.close()

    attached = apsw.Connection(":memory:")
    attached.execute("ATTACH ? AS other", (path,))
    with pytest.raises(TwoSqliteBuilds):
        claim_file(path, "sqlite3")
    with Claim(path, "apsw"):
        pass
    attached.close()
    with Claim(path, "sqlite3"):
        pass


def test_an_apsw_that_is_imported_after_the_claim_is_watched(path: str) -> None:
    program = """
import sys
from dutiful.engines.builds import claim_file, watch
from dutiful.model.errors import TwoSqliteBuilds
path = sys.argv[1]
claim_file(path, "sqlite3")
assert watch() == 0
import apsw
early = apsw.Connection(path)
for _ in range(2):
    try:
        watch()
    except TwoSqliteBuilds:
        continue
    raise AssertionError("the early connection was not noticed")
early.close()
assert watch() == 1, "its end dropped our locks"
for _ in range(2):
    try:
        apsw.Connection(path)
    except TwoSqliteBuilds:
        continue
    raise AssertionError("a late connection was not refused")
apsw.connection_hooks.clear()
assert watch() == 3
try:
    apsw.Connection(path)
except TwoSqliteBuilds:
    print("seen")
"""
    run = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert run.stdout == "seen\n", run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/locks")
def test_the_danger_is_real(path: str) -> None:
    """Why all this: a second library that opens and closes the file takes the first one's locks."""
    import apsw

    def locks() -> int:
        on = os.stat(path)
        wanted = f" {os.major(on.st_dev):02x}:{os.minor(on.st_dev):02x}:{on.st_ino} "
        lines = Path("/proc/locks").read_text().splitlines()
        return sum(wanted in line and "POSIX" in line for line in lines)

    first = sqlite3.connect(path)
    first.execute("SELECT * FROM t").fetchall()
    assert locks() == 1
    sqlite3.connect(path).close()
    assert locks() == 1, "one library knows its own"
    apsw.Connection(path).close()
    assert locks() == 0
    first.close()


# ── file systems ────────────────────────────────────────────────────────────────────────────

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 / /srv rw,relatime - nfs4 server:/srv rw,vers=4.2
31 30 254:1 / /srv/local rw - xfs /dev/vdb rw
32 22 0:41 / /mnt/with\040space rw - cifs //server/share rw
33 22 0:42 / /mnt/me/far rw - fuse.sshfs me@far: rw
34 22 0:43 / /mnt/c rw - 9p drvfs rw
35 22 0:44 / /auto rw - autofs systemd-1 rw
36 35 0:45 / /auto rw - nfs server:/auto rw
37 22 0:46 / /odd rw - brandnewfs none rw
not a mount
"""

MAC_MOUNT = """
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//me@server/My%20Share on /Volumes/My Share (one) (smbfs, nodev, nosuid, mounted by me)
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib/app", "ext4"),
        ("/srvx", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/app", "nfs4"),
        ("/srv/local/app", "xfs"),
        ("/mnt/with space/app", "cifs"),
        ("/mnt/me/far", "fuse.sshfs"),
        ("/mnt/c/Users", "9p"),
        ("/auto/x", "nfs"),
        ("/odd", "brandnewfs"),
    ],
)
def test_the_kind_of_a_folder_is_read_from_linuxs_table(folder: str, kind: str) -> None:
    assert kind_in_mountinfo(MOUNTINFO, folder) == kind


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "apfs"),
        ("/System/Volumes/Data/x", "apfs"),
        ("/Volumes/My Share (one)/x", "smbfs"),
        ("/Volumes/Other", "apfs"),
    ],
)
def test_the_kind_of_a_folder_is_read_from_macs_table(folder: str, kind: str) -> None:
    assert kind_in_mount_listing(MAC_MOUNT, folder) == kind


def test_an_empty_table_tells_nothing() -> None:
    assert kind_in_mountinfo("", "/x") is None
    assert kind_in_mount_listing("", "/x") is None


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "smbfs", "LUSTRE", "fuse.glusterfs"])
def test_a_network_file_system_is_refused(path: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "kind_of_folder", lambda folder: kind)
    with pytest.raises(NetworkFileSystem, match=kind) as caught:
        refuse_network(path)
    assert "PostgreSQL" in str(caught.value)


@pytest.mark.parametrize("kind", ["ext4", "apfs", "overlay", "tmpfs", "fuse", "brandnewfs", None])
def test_a_local_or_unknown_one_is_not(path: str, kind: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "kind_of_folder", lambda folder: kind)
    refuse_network(path)
    assert doubts(path) == []


@pytest.mark.parametrize("kind", sorted(SHARED_WITH_HOST))
def test_one_that_is_shared_with_the_host_is_a_doubt(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "kind_of_folder", lambda folder: kind)
    refuse_network(path)
    assert kind in doubts(path)[0]
    assert kind not in NETWORK


def test_here_is_local(path: str, tmp_path: Path) -> None:
    refuse_network(path)
    refuse_network(str(tmp_path / "missing" / "jobs.db"))
    if sys.platform in ("linux", "darwin"):
        assert filesystems.kind_of_folder(str(tmp_path)) is not None


# ── the log ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((3, 53, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_the_builds_with_the_race_are_known(version: tuple[int, int, int], is_affected: bool) -> None:
    assert affected(version) is is_affected


@pytest.fixture(params=["sqlite3", "apsw"])
def name(request: pytest.FixtureRequest) -> DriverName:
    """Both ways; apsw's build is not affected, and takes the same checkpoints all the same."""
    found: DriverName = request.param
    return found


class Log:
    """A writer, and what is needed to look at its log."""

    def __init__(self, path: str, name: DriverName) -> None:
        self.path, self.name = path, name
        self.opened: list[Connection] = []
        self.writer = self.connect()
        self.rows = 0

    def connect(self) -> Connection:
        connection = driver(self.name).connect(self.path, timeout_s=60)
        for pragma in NO_CHECKPOINTS:
            connection.execute(pragma)
        connection.execute("PRAGMA synchronous = NORMAL")
        self.opened.append(connection)
        return connection

    def grow(self, size_bytes: int) -> None:
        """Commit about so much."""
        rows = size_bytes // 1000  # four on a page
        self.writer.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            self.writer.execute("INSERT INTO t (text) VALUES (:text)", {"text": "x" * 1000})
        self.writer.execute("COMMIT")
        self.rows += rows

    @property
    def size(self) -> int:
        return os.stat(self.path + "-wal").st_size

    def check(self) -> None:
        """Nothing is lost, as a new connection sees it."""
        [(rows,)] = self.connect().execute("SELECT count(*) FROM t")
        assert rows == self.rows
        assert self.connect().execute("PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def log(path: str, name: DriverName) -> Iterator[Log]:
    log = Log(path, name)
    yield log
    for connection in log.opened:
        connection.close()


def test_a_small_log_is_left_alone(log: Log) -> None:
    def no_connection() -> Connection:
        raise AssertionError("needs no second connection")

    checkpointer = Checkpointer(log.path, no_connection)
    log.grow(MIB)
    checkpointer.after_commit(log.writer)
    assert checkpointer.problem is None
    checkpointer.close()


def test_a_large_log_is_copied_and_the_next_commit_begins_it_anew(log: Log) -> None:
    checkpointer = Checkpointer(log.path, log.connect)
    for _ in range(8):
        log.grow(3 * MIB)
        checkpointer.after_commit(log.writer)
        assert checkpointer.problem is None
        assert log.size < 8 * MIB
    log.check()


def test_a_very_large_log_is_reset_at_once(log: Log) -> None:
    log.grow(RESET_BYTES + MIB)
    assert log.size > RESET_BYTES
    checkpointer = Checkpointer(log.path, log.connect)
    checkpointer.after_commit(log.writer)
    assert checkpointer.problem is None
    assert log.size <= MIB
    log.check()


def test_nobody_commits_during_a_checkpoint(log: Log) -> None:
    """What the race needs is impossible: at each checkpoint the writer's lock is taken."""
    rival = log.connect()
    rival.execute("PRAGMA busy_timeout = 0")
    seen: list[bool] = []

    class Spy:
        def __init__(self, inner: Connection) -> None:
            self.inner = inner

        def execute(self, sql: str, params: Mapping[str, Any] = {}) -> list[tuple[Any, ...]]:
            if "wal_checkpoint" in sql:
                assert "PASSIVE" in sql
                try:
                    rival.execute("BEGIN IMMEDIATE")
                except Exception as error:
                    seen.append(driver(log.name).is_busy(error))
                else:
                    rival.execute("ROLLBACK")
                    seen.append(False)
            return self.inner.execute(sql, params)

        def close(self) -> None:
            self.inner.close()

    checkpointer = Checkpointer(log.path, lambda: Spy(log.connect()))
    for size in (5 * MIB, RESET_BYTES):
        log.grow(size)
        checkpointer.after_commit(log.writer)
    assert checkpointer.problem is None
    assert len(seen) >= 2
    assert all(seen)
    rival.execute("BEGIN IMMEDIATE")  # and the lock is given back
    rival.execute("ROLLBACK")


def test_a_read_that_stays_open_keeps_the_log_but_not_the_writers(log: Log) -> None:
    log.grow(MIB)
    reader = log.connect()
    reader.execute("BEGIN")
    [(seen,)] = reader.execute("SELECT count(*) FROM t")
    checkpointer = Checkpointer(log.path, log.connect)
    copies = 0
    for _ in range(12):
        log.grow(3 * MIB)
        before = checkpointer._threshold
        checkpointer.after_commit(log.writer)
        copies += checkpointer._threshold != before
    assert checkpointer.problem is None
    assert log.size > 2 * RESET_BYTES
    assert copies <= 7, "each costs the writers a moment, so they become rarer"
    assert reader.execute("SELECT count(*) FROM t") == [(seen,)]
    reader.execute("ROLLBACK")

    while log.size > MIB:
        log.grow(3 * MIB)
        checkpointer.after_commit(log.writer)
        assert log.size < 6 * RESET_BYTES
    log.check()


def test_what_the_database_refuses_is_kept_and_tried_again(log: Log) -> None:
    log.writer.execute("ALTER TABLE dutiful_chore RENAME TO elsewhere")
    log.grow(RESET_BYTES + MIB)
    checkpointer = Checkpointer(log.path, log.connect)
    checkpointer.after_commit(log.writer)
    assert "dutiful_chore" in str(checkpointer.problem)
    assert not log.writer.in_transaction

    log.writer.execute("ALTER TABLE elsewhere RENAME TO dutiful_chore")
    log.grow(2 * RESET_BYTES)
    checkpointer.after_commit(log.writer)
    assert checkpointer.problem is None
    assert log.size <= MIB
    log.check()


READER = """
import sys
from dutiful.engines.checkpoints import NO_CHECKPOINTS
from dutiful.engines.sqlite_drivers import driver
connection = driver(sys.argv[2]).connect(sys.argv[1], timeout_s=60)
for pragma in NO_CHECKPOINTS:
    connection.execute(pragma)
print("ready", flush=True)
while True:
    connection.execute("BEGIN")
    connection.execute("SELECT sum(length(text)) FROM (SELECT text FROM t LIMIT 500)")
    connection.execute("ROLLBACK")
"""


def test_readers_that_never_pause_do_not_make_the_log_grow(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "QUIET_S", 2.0)  # on a machine that does much else, too
    written = 48 * MIB
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, log.path, log.name], stdout=subprocess.PIPE, env=ENVIRONMENT
        )
        for _ in range(3)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"ready\n"
        checkpointer = Checkpointer(log.path, log.connect)
        peak = 0
        for _ in range(written // MIB):
            log.grow(MIB)
            checkpointer.after_commit(log.writer)
            peak = max(peak, log.size)
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()
    assert checkpointer.problem is None
    print(f"written {written // MIB} MiB, largest log {peak / MIB:.1f} MiB")
    assert peak < written * 3 // 4
    log.check()


def test_the_doctor_warns_of_a_log_that_nobody_empties(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.db")
    assert doctor(path) == []
    with open(path + "-wal", "wb") as file:
        file.truncate(checkpoints.DOCTOR_BYTES)
        assert doctor(path) == []
        file.truncate(checkpoints.DOCTOR_BYTES + MIB)
    [warning] = doctor(path)
    assert "257 MiB" in warning
