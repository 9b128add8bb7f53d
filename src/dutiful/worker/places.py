"""Where a worker's own file lies: beside an SQLite file, else in this user's temporary folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..engines.contract import Engine


def record_folder(engine: Engine) -> Path:
    """The folder for the files of an engine's workers on this host."""
    path = getattr(engine, "path", None)
    if path is not None and path != ":memory:":
        return Path(f"{path}-workers")
    return Path(tempfile.gettempdir(), f"dutiful-{os.getuid()}")


def worker_token() -> str:
    """A name that no other worker ever has."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"
