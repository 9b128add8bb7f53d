"""Makes the virtual environments that the commands run in, and knows when nothing is left to do.

`.venv` has what users install ("demo") and, once a test or check ran, what the tests need ("dev");
`.venv-bench` has the peers that we measure ourselves against; `.venv-3.13` is the second Python's.
Each purpose leaves a stamp made of what it was asked to install and of the Python it was made with:
when that still holds, `ready` returns within a millisecond or two. An environment that has lost a
package, or that was not finished, is made anew. Any number of commands may ask at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools import apt
from devtools.places import PYPROJECT, ROOT, give_up, say
from devtools.pythons import Python, probe

PEERS = ROOT / "bench" / "requirements.txt"
STAMPS = ".dutiful"  # the folder in an environment; a file in it for each purpose, and these two:
MADE = "made"
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Environment:
    """One virtual environment: where it is, and the Python to make it with."""

    path: Path
    base: Python

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def program(self, name: str) -> str:
        return str(self.path / "bin" / name)


def main(base: Python) -> Environment:
    """The environment of every command but the benchmark."""
    return Environment(ROOT / ".venv", base)


def second(base: Python) -> Environment:
    """The environment in which part of the suite runs on a newer Python."""
    return Environment(ROOT / f".venv-{base.name}", base)


def bench(base: Python) -> Environment:
    """The environment of the benchmark: the peers' own requirements must not move those of the tests."""
    return Environment(ROOT / ".venv-bench", base)


def ready(environment: Environment, purpose: str) -> Environment:
    """The environment with everything installed that the purpose asks for, which is a dependency group.

    The project itself is installed in editable form. Ends the program with a message if that fails.
    """
    wanted = _wanted(environment, purpose)
    if _holds(environment, purpose, wanted):
        return environment
    with _lock(environment):
        if _holds(environment, purpose, wanted):  # another command has just done it
            return environment
        if not _usable(environment):
            _make(environment)
        say(f"installing into {environment.path.name}: {purpose} (only when pyproject.toml changed)")
        _pip(environment, ["--editable", str(ROOT), *wanted["requirements"]])
        _stamp(environment, purpose, wanted)
    return environment


def add(environment: Environment, requirements: Sequence[str], *, dependencies: bool = True) -> bool:
    """Installs something that may be missing from this world; False if it cannot be had."""
    with _lock(environment):
        flags = [] if dependencies else ["--no-deps"]
        return _try_pip(environment, [*flags, *requirements]).returncode == 0


def add_peers(environment: Environment) -> None:
    """Installs the peers that the benchmark compares us with: together, or those that can be had."""
    lines = (line.partition("#")[0].strip() for line in PEERS.read_text().splitlines())
    peers = [line for line in lines if line]
    wanted = {"key": "\n".join(peers), "requirements": peers}
    if _holds(environment, "peers", wanted):
        return
    say(f"installing into {environment.path.name}: the peers")
    if not add(environment, peers):
        for peer in peers:
            if not add(environment, [peer]):
                say(f"{peer} cannot be installed here: it is left out")
    _stamp(environment, "peers", wanted)


def site_packages(environment: Environment) -> Path:
    """Where the environment keeps what is installed in it."""
    return environment.path / "lib" / f"python{environment.base.name}" / "site-packages"


def _project() -> dict[str, Any]:
    return tomllib.loads(PYPROJECT.read_text())


def _wanted(environment: Environment, purpose: str) -> dict[str, Any]:
    project = _project()
    requirements = project["dependency-groups"][purpose]
    # Settings of ruff, mypy and pytest stand in the same file and are no reason to install anything.
    reasons = [_made_for(environment), project["project"], project["build-system"], requirements]
    key = hashlib.sha256(json.dumps(reasons, sort_keys=True).encode()).hexdigest()
    return {"key": key, "requirements": requirements}


def _holds(environment: Environment, purpose: str, wanted: dict[str, Any]) -> bool:
    try:
        stamp = environment.path / STAMPS / purpose
        if json.loads(stamp.read_text())["key"] != wanted["key"] or not environment.python.exists():
            return False
        return _stamped(stamp) <= _installed(environment)
    except (OSError, ValueError, KeyError):
        return False


def _stamped(stamp: Path) -> set[str]:
    """What was installed when the stamp was made."""
    return set(json.loads(stamp.read_text())["installed"])


def _installed(environment: Environment) -> set[str]:
    """The names of the distributions in the environment, read from the folders that pip leaves."""
    entries = os.listdir(site_packages(environment))
    return {entry.partition("-")[0].lower() for entry in entries if entry.endswith(".dist-info")}


def _usable(environment: Environment) -> bool:
    """Whether the environment was finished once, is of this Python, and its pip answers."""
    stamps = environment.path / STAMPS
    made = stamps / MADE
    if (
        (stamps / UNFINISHED).exists()
        or not made.exists()
        or made.read_text() != _made_for(environment)
        or probe(environment.python) is None
    ):
        return False
    answer = subprocess.run([environment.python, "-m", "pip", "--version"], capture_output=True)
    if answer.returncode != 0:
        return False
    # A folder that a stamp names and that is gone was taken away by hand: pip would not notice all of it.
    purposes = (stamp for stamp in stamps.iterdir() if stamp != made)
    return all(_stamped(stamp) <= _installed(environment) for stamp in purposes)


def _made_for(environment: Environment) -> str:
    """An environment serves one place, since its scripts name it, and one version of Python."""
    return f"{environment.path} {environment.base.name}\n"


def _make(environment: Environment) -> None:
    if environment.path.exists():
        say(f"{environment.path.name} is unfinished, damaged or of another Python: making it anew")
        shutil.rmtree(environment.path)
    say(f"making {environment.path.name} with Python {environment.base.full_version}")
    command = _venv_command(environment.base)
    made = subprocess.run([*command, str(environment.path)], capture_output=True, text=True)
    if made.returncode != 0:
        give_up(f"could not make {environment.path}:\n{made.stdout}{made.stderr}")
    stamps = environment.path / STAMPS
    stamps.mkdir()
    (stamps / MADE).write_text(_made_for(environment))


def _venv_command(base: Python) -> list[str]:
    python = str(base.executable)
    package = f"python{base.name}-venv"
    if not base.has_ensurepip and apt.available():
        say(f"this Python lacks ensurepip: installing {package}")
        if apt.install([package]) or apt.install(["python3-venv"]):
            base = probe(base.executable) or base
    if base.has_ensurepip:
        return [python, "-m", "venv"]
    for other in ([python, "-m", "virtualenv", "-q"], ["virtualenv", "-q", "-p", python]):
        try:
            if subprocess.run([*other, "--version"], capture_output=True).returncode == 0:
                return other
        except OSError:
            continue
    give_up(
        f"{python} cannot make virtual environments: its module ensurepip is missing.\n"
        f"On Debian and Ubuntu: apt-get install {package} (as root), then run this again."
    )


def _pip(environment: Environment, arguments: Sequence[str]) -> None:
    done = _try_pip(environment, arguments)
    if done.returncode != 0:
        give_up(f"pip could not install into {environment.path}:\n{done.stdout}{done.stderr}")


def _try_pip(environment: Environment, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    pip = [str(environment.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-q"]
    unfinished = environment.path / STAMPS / UNFINISHED
    unfinished.touch()  # stays if we are killed: half a package may look like a whole one
    done = subprocess.run([*pip, *arguments], capture_output=True, text=True, cwd=ROOT)
    unfinished.unlink()
    return done


def _stamp(environment: Environment, purpose: str, wanted: dict[str, Any]) -> None:
    new = environment.path / f".{purpose}.new"
    new.write_text(json.dumps({"key": wanted["key"], "installed": sorted(_installed(environment))}))
    new.rename(environment.path / STAMPS / purpose)


@contextmanager
def _lock(environment: Environment) -> Iterator[None]:
    """One command at a time touches an environment. The lock ends with the process that holds it."""
    path = environment.path.with_name(environment.path.name + ".lock")
    try:
        file = path.open("a")
    except PermissionError:
        give_up(f"{ROOT} is not yours and has no finished {environment.path.name}: use a clone of your own")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another ./dev that is setting up {environment.path.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
