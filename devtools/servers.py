"""Database servers for tests and benchmarks.

    with PostgresServer() as server:
        psycopg.connect(server.create_database("shop"))

`hosting.py` says what happens to a server's process and folder. `create_database` and `drop_database`
need psycopg; all else is standard library.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools import needs
from devtools.hosting import Hosted, ServerFailed, StopMode, says

USER = "dutiful"

# A crash of the machine may cost a test's database, a crash of the server may not: so no fsync,
# but commits wait for their record as they do in earnest.
POSTGRES_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %d ",
}


class PostgresConnection:
    """A PostgreSQL server as everybody may use it, whoever started it."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, port
        self._admin: Any = None
        self._admin_lock = threading.Lock()

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def pid(self) -> int | None:
        """The postmaster's, read from the file that it keeps; None when there is none."""
        try:
            return int((self.data_dir / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def url(self, database: str = "postgres", *, by_socket: bool = False) -> str:
        """Where a database is, for engines and drivers alike."""
        if by_socket:
            return f"postgresql://{USER}@/{database}?host={self.root}&port={self.port}"
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Makes a database, a copy of the template if one is named, and returns its URL.

        The template must have no other connection at that moment.
        """
        copied = f' TEMPLATE "{template}"' if template else ""
        self._run(f'CREATE DATABASE "{name}"{copied}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Removes a database and whoever is still connected to it. No error if it is not there."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def close(self) -> None:
        """Ends the connection that makes and drops databases."""
        with self._admin_lock:
            if self._admin is not None:
                self._admin.close()
                self._admin = None

    def _run(self, statement: str) -> None:
        import psycopg

        with self._admin_lock:
            for last_try in (False, True):
                try:
                    if self._admin is None:
                        self._admin = psycopg.connect(self.url(), autocommit=True)
                    self._admin.execute(statement)
                    return
                except psycopg.OperationalError:
                    # If the server was restarted since, a new connection will do.
                    if last_try or self._admin is None or not self._admin.closed:
                        raise
                    self._admin = None


class PostgresServer(Hosted, PostgresConnection):
    """A PostgreSQL server that this program starts and stops.

    `settings` are added to POSTGRES_SETTINGS and win over them. `root` is the folder to live in, made
    if it is missing and removed at the end; without it one is chosen. `programs` is the folder of the
    server's programs.
    """

    kind = "pg"
    stop_signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

    def __init__(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        root: Path | None = None,
        programs: Path | None = None,
    ) -> None:
        found = programs or needs.POSTGRES.here()
        if found is None:
            raise ServerFailed("no PostgreSQL server was found: `./dev test` brings one")
        self.programs = found
        self.settings = {
            **POSTGRES_SETTINGS,
            **{name: str(value) for name, value in (settings or {}).items()},
        }
        Hosted.__init__(self, root)
        PostgresConnection.__init__(self, self.root, self.port)

    def stop(self, mode: StopMode = "fast") -> None:
        self.close()
        super().stop(mode)

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "postmaster.pid"

    def prepare(self) -> None:
        self.programs = self._reachable_programs()
        options = [f"--pgdata={self.data_dir}", f"--username={USER}", "--auth=trust", "--encoding=UTF8"]
        done = self.call(self.programs / "initdb", *options, "--locale=C", "--no-sync")
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed: {done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        options = {
            **self.settings,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.root),
        }
        words = [str(self.programs / "postgres"), "-D", str(self.data_dir)]
        for name, value in options.items():
            words += ["-c", f"{name}={value}"]
        return words

    def answers(self) -> bool:
        """The postmaster writes "ready" into the eighth line of its file once it takes connections."""
        try:
            lines = self.pid_file.read_text().splitlines()
        except OSError:
            return False
        assert self._process is not None
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _reachable_programs(self) -> Path:
        """The programs, or a copy of them where the server's user can reach it."""
        try:
            self.call(self.programs / "postgres", "--version")
            return self.programs
        except PermissionError:
            pass
        # A wheel's programs look for their libraries in a folder beside the package.
        prefix = self.programs.parent
        package, site_packages = prefix.parent, prefix.parent.parent
        copy = self.root / "programs"
        shutil.copytree(prefix, copy / package.name / prefix.name, symlinks=True)
        for libraries in site_packages.glob(f"{package.name}*.libs"):
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        for folder in (copy, copy / package.name):
            folder.chmod(0o755)
        if self.user:
            shutil.chown(copy, self.user.pw_uid)
        return copy / package.name / prefix.name / self.programs.name


class RedisServer(Hosted):
    """A Redis server that this program starts and stops; it writes nothing to disk unless told to.

    `settings` are words of redis-server's command line, such as `["--appendonly", "yes"]`.
    """

    kind = "redis"
    stop_signals = {"smart": signal.SIGTERM, "fast": signal.SIGTERM}

    def __init__(self, settings: Sequence[str] = (), *, root: Path | None = None) -> None:
        program = needs.REDIS.here()
        if program is None:
            raise ServerFailed("no Redis server was found: install redis-server")
        self.program, self.settings = program, settings
        super().__init__(root)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def flush(self) -> None:
        """Empties all its databases."""
        if not says(self.port, b"FLUSHALL\r\n", b"+OK"):
            raise ServerFailed("Redis did not answer FLUSHALL")

    @property
    def pid_file(self) -> Path:
        return self.root / "redis.pid"

    def command(self) -> list[str]:
        words = [str(self.program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.root)]
        return [*words, "--pidfile", str(self.pid_file), "--save", "", *self.settings]

    def answers(self) -> bool:
        return says(self.port, b"PING\r\n", b"+PONG")
