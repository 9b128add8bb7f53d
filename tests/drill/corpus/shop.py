"""The shop that the corpus works in: its tables, its app, and how a task is put into the corpus."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from dutiful import App
from dutiful.drill import Answers

FILE = str(Path(gettempdir()) / "dutiful-drill-corpus-never-made.db")
"""No such file is ever made: a drill leads what opens it to a copy of its own."""
app = App("shop", f"sqlite:///{FILE}")

TABLES = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, total INT, status TEXT DEFAULT 'new', charge TEXT,
                     sent INT DEFAULT 0, version INT DEFAULT 1, day TEXT);
CREATE TABLE receipts (id INTEGER PRIMARY KEY, order_id INT, amount INT, day TEXT);
CREATE TABLE keyed_receipts (order_id INT PRIMARY KEY, amount INT);
CREATE TABLE accounts (id INT PRIMARY KEY, balance INT);
CREATE TABLE done_duties (duty TEXT PRIMARY KEY);
CREATE TABLE stock (item TEXT PRIMARY KEY, quantity INT);
CREATE TABLE log (id INTEGER PRIMARY KEY, line TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP);
INSERT INTO orders (id, customer, total) VALUES (7, 1, 100), (8, 1, 40), (9, 2, 60);
INSERT INTO accounts VALUES (1, 500), (2, 0), (3, 50);
INSERT INTO stock VALUES ('pen', 10), ('ink', 3);
"""


@dataclass(frozen=True)
class Case:
    """One task of the corpus."""

    task: Any
    args: dict[str, Any] = field(default_factory=lambda: {"order_id": 7})
    fixture: str = TABLES
    answers: Answers = None
    siblings: tuple[dict[str, Any], ...] = ()
    golden: tuple[dict[str, Any], ...] = ()
    where: str = "sqlite"

    @property
    def name(self) -> str:
        """The function's."""
        return str(self.task.function.__name__)


BUGS: list[Case] = []
RIGHT: list[Case] = []


def connect() -> sqlite3.Connection:
    """The shop's database, as the application opens it."""
    return sqlite3.connect(FILE)


def bug(case: dict[str, Any] | None = None, **policy: Any) -> Callable[[Callable[..., Any]], Any]:
    """A task with a planted bug."""
    return _put(BUGS, case, policy)


def right(case: dict[str, Any] | None = None, **policy: Any) -> Callable[[Callable[..., Any]], Any]:
    """A correct task."""
    return _put(RIGHT, case, policy)


def _put(cases: list[Case], case: dict[str, Any] | None, policy: dict[str, Any]) -> Callable[..., Any]:
    def declare(function: Callable[..., Any]) -> Any:
        about = dict(case or {})
        of = about.pop("app", app)
        policy.setdefault("once", function.__name__ + ":{order_id}")
        task = of.task(**policy)(function)
        cases.append(Case(task, **about))
        return task

    return declare
