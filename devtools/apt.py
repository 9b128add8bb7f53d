"""Installs Debian packages, as root on Debian and its kin; elsewhere it says that it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from devtools.places import say

INSTALL_TIMEOUT_S = 900


def available() -> bool:
    """Whether this user on this machine may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str]) -> bool:
    """Installs packages, with a fresh list only when the one at hand does not do. False if it failed."""
    if not available():
        return False
    if _apt("install", "-y", "--no-install-recommends", *packages):
        return True
    return _apt("update") and _apt("install", "-y", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["apt-get", "-q", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        say(f"apt-get {' '.join(arguments)} took longer than {INSTALL_TIMEOUT_S} s")
        return False
    if done.returncode != 0:
        say(f"apt-get {' '.join(arguments)} failed: {done.stdout.strip().splitlines()[-1:]}")
    return done.returncode == 0
