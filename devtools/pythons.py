"""Finds the Pythons of this machine that can carry dutiful."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devtools.places import PYPROJECT

Version = tuple[int, int]

OLDEST: Version = (3, 11)
PROBE_TIMEOUT_S = 20

# sqlite3 and ssl are missing from Pythons that were compiled without their headers.
_PROBE = """
import importlib.util as u, json, sys
import sqlite3, ssl
version = sys.version_info
print(json.dumps([version[:2], sys.version.split()[0], version[3], bool(u.find_spec("ensurepip"))]))
"""


@dataclass(frozen=True)
class Python:
    """One interpreter, as it described itself."""

    executable: Path
    version: Version
    full_version: str
    has_ensurepip: bool

    @property
    def name(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


def running() -> Python:
    """The interpreter under our feet; when that is a virtual environment, the one it was made from."""
    if sys.prefix == sys.base_prefix:
        has_ensurepip = importlib.util.find_spec("ensurepip") is not None
        version = (sys.version_info.major, sys.version_info.minor)
        return Python(Path(sys.executable), version, sys.version.split()[0], has_ensurepip)
    base = Path(getattr(sys, "_base_executable", "") or sys.executable)
    found = probe(base) or probe(Path(sys.executable))
    if found is None:
        raise SystemExit(f"{sys.executable} lacks the modules sqlite3 or ssl: use another Python")
    return found


def supported() -> list[Version]:
    """The versions that pyproject.toml names in its classifiers, oldest first."""
    classifiers = tomllib.loads(PYPROJECT.read_text())["project"]["classifiers"]
    prefix = "Programming Language :: Python :: 3."
    return sorted((3, int(line.removeprefix(prefix))) for line in classifiers if line.startswith(prefix))


def oldest_supported() -> Python:
    """The Python that the whole suite runs on: 3.11 where there is one, else the one that is running."""
    here = running()
    return here if here.version == OLDEST else find(OLDEST) or here


def newest_supported() -> Python | None:
    """The newest Python found that pyproject.toml names, if it is newer than 3.11."""
    here = running()
    for version in reversed(supported()):
        if version <= OLDEST:
            return None
        found = here if here.version == version else find(version)
        if found is not None:
            return found
    return None


def find(version: Version) -> Python | None:
    """A Python of that version; one that can make virtual environments is preferred."""
    found = [p for p in map(probe, _candidates(version)) if p is not None and p.version == version]
    return next((p for p in found if p.has_ensurepip), found[0] if found else None)


def probe(executable: Path) -> Python | None:
    """Asks an interpreter what it is. None if it does not run, is a preview, or lacks sqlite3 or ssl."""
    try:
        answer = subprocess.run(
            [str(executable), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:
        return None
    (major, minor), full, level, has_ensurepip = json.loads(answer.stdout)
    if level != "final":
        return None
    return Python(executable, (major, minor), full, has_ensurepip)


def _candidates(version: Version) -> Iterator[Path]:
    name = f"python{version[0]}.{version[1]}"
    seen: set[Path] = set()
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", "~/.local/share/uv/python")).expanduser()
    for versions in (pyenv / "versions", uv):
        if os.access(versions, os.R_OK | os.X_OK):
            folders += sorted(versions.glob("*/bin"))
    for folder in folders:
        path = folder / name
        if os.access(path, os.X_OK) and path not in seen:
            seen.add(path)
            yield path
