"""The one PostgreSQL server that all processes of a test run share, started when the first test asks.

The controller (the pytest that was typed) owns it, so that it ends with the controller and not with a
worker. A worker asks by making a folder whose name the controller has chosen and handed on; the
controller looks for it, starts the server in it, and leaves the port there as the answer.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from devtools.hosting import START_TIMEOUT_S, ServerFailed, new_root_path
from devtools.servers import PostgresConnection, PostgresServer

ROOT_VARIABLE = "DUTIFUL_TEST_POSTGRES_ROOT"
LOOK_EVERY_S = 0.05


class SharedPostgres:
    """The controller's side."""

    def __init__(self) -> None:
        self.root = new_root_path("pg")
        self._server: PostgresServer | None = None
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look, name="shared-postgres", daemon=True)

    def open(self) -> None:
        os.environ[ROOT_VARIABLE] = str(self.root)
        self._looking.start()

    def close(self) -> None:
        self._ended.set()
        self._looking.join()
        if self._server is not None:
            self._server.remove()
        os.environ.pop(ROOT_VARIABLE, None)

    def _look(self) -> None:
        while not self.root.exists():
            if self._ended.wait(LOOK_EVERY_S):
                return
        self._server = PostgresServer(root=self.root)
        try:
            self._server.start()
        except ServerFailed as failure:
            self.root.mkdir(exist_ok=True)
            _answer(self.root, f"failed {failure}")
        else:
            _answer(self.root, f"port {self._server.port}")


def shared_postgres() -> PostgresConnection:
    """What a test's process uses: waits for the server, and raises ServerFailed if it did not start."""
    root = Path(os.environ[ROOT_VARIABLE])
    root.mkdir(mode=0o700, exist_ok=True)
    deadline = time.monotonic() + START_TIMEOUT_S + 10
    while time.monotonic() < deadline:
        try:
            word, _, rest = (root / "answer").read_text().partition(" ")
        except FileNotFoundError:
            time.sleep(LOOK_EVERY_S)
            continue
        if word == "failed":
            raise ServerFailed(rest)
        return PostgresConnection(root, int(rest))
    raise ServerFailed("the shared PostgreSQL server did not answer")


def _answer(root: Path, text: str) -> None:
    (root / "answer.new").write_text(text)
    (root / "answer.new").rename(root / "answer")
