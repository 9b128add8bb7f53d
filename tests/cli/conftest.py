"""A shop with jobs in a folder of its own, and the program called on it: in this process, or for real."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import dutiful
from dutiful.cli.root import program
from dutiful.testing import run_all

SOURCE = '''\
"""The shop."""

import dutiful
from datetime import datetime

app = dutiful.App("shop", {url!r}, release="r1")
app.queue("mail", target="2m")


@app.task(name="charge", once="charge:{{order_id}}", retry=0)
def charge(order_id: int, cents: int = 100) -> None:
    if order_id < 0:
        raise ValueError(f"no order {{order_id}}")


@app.task(name="mail", queue="mail", retry=0, result=True)
def mail(to: str, at: datetime | None = None, tags: list[str] = []) -> str:
    if to == "boom":
        raise TimeoutError("no answer from " + to)
    return f"sent to {{to}}"


mail_too = mail
'''


@dataclass(frozen=True)
class Answer:
    """What one call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Shop:
    """The program, called with this shop as its app."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.module = f"shop_{uuid.uuid4().hex[:8]}"
        self.environment = {"DUTIFUL_APP": f"{self.module}:app", "TZ": "UTC"}
        (folder / f"{self.module}.py").write_text(SOURCE.format(url=url))

    @property
    def app(self) -> dutiful.App:
        """The app itself, in this process."""
        found: dutiful.App = importlib.import_module(self.module).app
        return found

    def __call__(
        self, *args: str, env: dict[str, str | None] | None = None, input: str | None = None
    ) -> Answer:
        """Call it in this process."""
        done = CliRunner().invoke(program, list(args), env={**self.environment, **(env or {})}, input=input)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Answer(done.exit_code, done.stdout, done.stderr)

    def bare(self, *args: str, **settings: Any) -> Answer:
        """Call it in this process, with no app named by the environment."""
        return self(*args, env={"DUTIFUL_APP": None}, **settings)

    def command(self, *args: str) -> list[str]:
        """The words of a real call."""
        return [sys.executable, "-m", "dutiful", *args]

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a real call."""
        here = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "DUTIFUL_DEBUG")}
        return {**here, **self.environment, **more}

    def really(self, *args: str, timeout: float = 60, **env: str) -> Answer:
        """Call it as a process of its own, nobody at its stdin."""
        done = subprocess.run(
            self.command(*args),
            cwd=self.folder,
            env=self.environ(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding=env.get("PYTHONIOENCODING", "utf-8"),
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def enqueue(self, task: str, *pairs: str) -> str:
        """The id of a new job."""
        done = self("enqueue", task, *pairs, "--quiet")
        assert done.code == 0, done.err
        return done.out.strip()

    def run_all(self) -> None:
        """Run what is due, as a worker does."""
        run_all(self.app)
        self.app.close()

    def dead(self, count: int) -> list[str]:
        """So many jobs that died of a TimeoutError, the youngest last."""
        ids = [self.enqueue("mail", "to=boom") for _ in range(count)]
        self.run_all()
        return ids


@pytest.fixture
def shop(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop on each kind of store."""
    yield from _shop(store_url, tmp_path, monkeypatch)


@pytest.fixture
def small_shop(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop on SQLite alone, for what has nothing to do with the store."""
    yield from _shop(sqlite_url, tmp_path, monkeypatch)


@pytest.fixture
def postgres_shop(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop on PostgreSQL alone."""
    yield from _shop(postgres_url, tmp_path, monkeypatch)


def _shop(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.chdir(folder)
    for name in ("COLUMNS", "NO_COLOR", "DUTIFUL_DEBUG", "DUTIFUL_APP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shop = Shop(folder, url)
    yield shop
    if shop.module in sys.modules:
        shop.app.close()
        del sys.modules[shop.module]
