"""The files of a first project, as ``dutiful init`` writes them.

Formatted as ruff does by default; a test formats them, and runs all that is said of them.
"""

from __future__ import annotations

JOBS = '''\
"""The jobs of @NAME@; `python jobs.py` makes their tables."""

from __future__ import annotations

import os
@IMPORT_SQLITE@from datetime import date
from pathlib import Path

@IMPORT_PSYCOPG@from dutiful import App, Late, Transaction

HERE = Path(__file__).parent
RECEIPTS = HERE / "receipts"
URL = @URL@

app = App("@NAME@", URL)


@app.task(once="credit:{transfer_id}", delivery="exactly_once", timeout="20s")
def credit(transfer_id: int, *, tx: Transaction = Transaction.given) -> None:
    """Both writes, the receipt's job, and that this one is done: all in one commit."""
    sql = "SELECT account_id, cents, day FROM transfer WHERE id = :id"
    [(account, cents, day)] = tx.execute(sql, {"id": transfer_id}).fetchall()
    row = {"id": transfer_id, "account": account, "cents": cents, "day": day}
    tx.execute("INSERT INTO movement VALUES (:id, :account, :cents, :day)", row)
    tx.execute("UPDATE account SET cents = cents + :cents WHERE id = :account", row)
    write_receipt.enqueue(transfer_id, cents)


# dutiful: ok DU017 — a transfer never changes its amount
@app.task(once="receipt:{transfer_id}", timeout="20s")
def write_receipt(transfer_id: int, cents: int) -> None:
    """May run twice, and it does no harm: the same file, and never half of it."""
    RECEIPTS.mkdir(exist_ok=True)
    path = RECEIPTS / f"{transfer_id}.txt"
    new = path.with_suffix(".new")
    new.write_text(f"{cents / 100:.2f} received by transfer {transfer_id}\\n")
    os.replace(new, path)


@app.schedule("0 2 * * *", tz="UTC", at="day")
@app.task(
    once="close:{day}", delivery="exactly_once", timeout="20s", late=Late("7d", "run")
)
def close_day(day: date, *, tx: Transaction = Transaction.given) -> None:
    """Add up what came before this day, which the schedule tells, not the clock."""
    sql = "SELECT coalesce(sum(cents), 0) FROM movement WHERE day < :day"
    [(cents,)] = tx.execute(sql, {"day": day.isoformat()}).fetchall()
    row = {"day": day.isoformat(), "cents": cents}
    tx.execute("INSERT INTO day_total VALUES (:day, :cents)", row)


def make_tables() -> None:
    """Carry out tables.sql; safe to repeat."""
    text = (HERE / "tables.sql").read_text()
@MAKE@


if __name__ == "__main__":
    make_tables()
'''

MAKE_SQLITE = """\
    with closing(sqlite3.connect(URL.removeprefix("sqlite:///"))) as db:
        db.executescript(text)"""

MAKE_POSTGRES = """\
    with psycopg.connect(URL) as db:
        db.execute(text.encode())"""

TABLES = """\
CREATE TABLE IF NOT EXISTS account (id integer PRIMARY KEY, cents bigint NOT NULL);
CREATE TABLE IF NOT EXISTS transfer (
    id integer PRIMARY KEY,
    account_id integer NOT NULL REFERENCES account,
    cents bigint NOT NULL,
    day date NOT NULL
);
CREATE TABLE IF NOT EXISTS movement (
    transfer_id integer PRIMARY KEY REFERENCES transfer,
    account_id integer NOT NULL REFERENCES account,
    cents bigint NOT NULL,
    day date NOT NULL
);
CREATE TABLE IF NOT EXISTS day_total (day date PRIMARY KEY, cents bigint NOT NULL);

-- A few rows to begin with; a drill begins with them, too.
INSERT INTO account VALUES (1, 0), (2, 5000) ON CONFLICT DO NOTHING;
INSERT INTO transfer VALUES (7, 1, 500, '2026-01-14'), (8, 2, 250, '2026-01-15')
    ON CONFLICT DO NOTHING;
"""

TESTS = '''\
"""The tasks of jobs.py: once, through a crash, and in a drill. No server is needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dutiful import App
from dutiful.drill import drill
from dutiful.testing import assert_enqueued

import jobs

TABLES = (jobs.HERE / "tables.sql").read_text()


@pytest.fixture
def file(dutiful_app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database of this test alone, in SQLite, with the tables made."""
    monkeypatch.setattr(jobs, "RECEIPTS", tmp_path / "receipts")
    path = dutiful_app.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(TABLES)
    return path


def test_a_transfer_is_credited_once(
    file: str, run_all: Callable[..., Any], crash_at: Callable[[int], Any]
) -> None:
    jobs.credit.enqueue(7)
    assert jobs.credit.enqueue(7).duplicate
    assert_enqueued(jobs.app, jobs.credit, times=1, key="credit:7")
    crash_at(2)  # killed before the second write, and run again
    run_all()
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT cents FROM account WHERE id = 1").fetchall()
    assert rows == [(500,)]
    assert (jobs.RECEIPTS / "7.txt").read_text() == "5.00 received by transfer 7\\n"


@pytest.mark.parametrize(
    ("task", "args"),
    [
        (jobs.credit, {"transfer_id": 7}),
        (jobs.write_receipt, {"transfer_id": 7, "cents": 500}),
        (jobs.close_day, {"day": date(2026, 1, 15)}),
    ],
)
def test_a_task_stands_the_drill(file: str, task: Any, args: dict[str, Any]) -> None:
    """Run twice, cut off, overtaken, late: what the tables then hold is the same."""
    report = drill(task, args, TABLES, limit=20)
    assert report.result == "clean", report.text()
'''

PYPROJECT = """\
[project]
name = "@PROJECT@"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["dutiful[@EXTRAS@]"]

[dependency-groups]
dev = ["pytest>=8.3"]

[tool.setuptools]
py-modules = ["jobs"]

[tool.dutiful]
app = "jobs:app"

[tool.pytest.ini_options]
dutiful_app = "jobs:app"
"""


def files(name: str, url: str) -> dict[str, str]:
    """Every file by its name, for an app of this name in the store at ``url``."""
    sqlite = url.startswith("sqlite")
    words = {
        "NAME": name,
        "PROJECT": name.lower(),
        "URL": f'"{url}"',
        "EXTRAS": "web" if sqlite else "postgres,web",
        "MAKE": MAKE_SQLITE if sqlite else MAKE_POSTGRES,
        "IMPORT_SQLITE": "import sqlite3\nfrom contextlib import closing\n" if sqlite else "",
        "IMPORT_PSYCOPG": "" if sqlite else "import psycopg\n",
    }
    found = {"jobs.py": JOBS, "tables.sql": TABLES, "test_jobs.py": TESTS, "pyproject.toml": PYPROJECT}
    for word, value in words.items():
        found = {path: text.replace(f"@{word}@", value) for path, text in found.items()}
    return found


NEXT = (
    ("dutiful migrate", "dutiful's tables"),
    ("python jobs.py", "your own: tables.sql"),
    ("dutiful enqueue jobs.credit transfer_id=7", "one job"),
    ("dutiful worker --until-empty", "done: look into receipts/"),
    ("pytest", "a crash, and a drill of each task"),
    ("dutiful check --strict", "the checklist over the code"),
    ("""dutiful drill jobs:credit --args '{"transfer_id": 7}' --fixture tables.sql --limit 30""", ""),
    ("dutiful dev --open", "a worker and the page, until Ctrl-C"),
)
"""What is typed next, and what it is for."""
