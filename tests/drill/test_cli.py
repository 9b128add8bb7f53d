"""``dutiful drill``: its options, its exit codes, its document, and what it says to bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from dutiful.cli.root import program
from dutiful.operations import registry

SOURCE = """
import sqlite3
from contextlib import closing

from dutiful import App

app = App("shop", "sqlite:///never-made.db")


@app.task(once="mark:{order_id}")
def mark(order_id: int) -> None:
    with closing(sqlite3.connect("never-made.db")) as db, db:
        db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))


@app.task(once="count:{order_id}")
def count(order_id: int) -> None:
    with closing(sqlite3.connect("never-made.db")) as db, db:
        db.execute("UPDATE orders SET sent = sent + 1 WHERE id = ?", (order_id,))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with two tasks and a fixture."""
    (tmp_path / "drilled_shop.py").write_text(SOURCE)
    (tmp_path / "order7.sql").write_text(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, sent INT); INSERT INTO orders VALUES (7, 0);"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("drilled_shop", None)


def call(*words: str) -> Result:
    return CliRunner().invoke(program, ["drill", *words])


ARGS = ("--args", '{"order_id": 7}', "--fixture", "order7.sql", "--limit", "8")


def test_the_result_is_the_exit_code(folder: Path) -> None:
    clean = call("drilled_shop:mark", *ARGS)
    assert clean.exit_code == 0, clean.output
    assert clean.output.startswith("drilled_shop.mark: clean\n")
    assert "coverage: 3 boundaries, 1 transaction, 0 calls" in clean.output

    found = call("drilled_shop:count", *ARGS, "--json")
    assert found.exit_code == 1, found.output
    document = json.loads(found.output)
    assert document["schema"] == "dutiful/drill/1" and document["result"] == "findings"
    assert document["findings"][0]["rule"] == "DU001"
    assert "drilled_shop.py:" in document["findings"][0]["story"] + document["findings"][0]["why"] + str(
        document
    )

    assert document["stored"]["id"] is None and "never-made.db" in document["stored"]["why"]
    no_table = call("drilled_shop:mark", "--args", "[7]", "--fixture", "none", "--scenario", "X1")
    assert no_table.exit_code == 3, no_table.output
    assert "no such table: orders" in no_table.output
    assert not (folder / "never-made.db").exists()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("drilled_shop:marc", *ARGS), "has no task 'marc'", 4),
        (("nowhere:mark", *ARGS), "There is no module 'nowhere'", 4),
        (("drilled_shop:mark", "--fixture", "gone.sql"), "gone.sql cannot be read", 2),
        (("drilled_shop:mark", "--args", "7", "--fixture", "none"), "neither an object nor a list", 2),
        (("drilled_shop:mark", "--args", "{", "--fixture", "none"), "is no JSON", 2),
        (("drilled_shop:mark", *ARGS, "--scenario", "X12"), "X12", 2),
        (("drilled_shop:mark",), "Give --fixture FILE.sql", 2),
        ((), "Give MODULE:TASK", 2),
    ],
)
def test_bad_input_is_told_with_what_to_type(
    folder: Path, words: tuple[str, ...], said: str, code: int
) -> None:
    answer = call(*words)
    assert said in answer.output, answer.output
    assert answer.exit_code == code


def listed() -> list[dict[str, Any]]:
    answer = call("--list", "--app", "drilled_shop:app", "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.output)["drills"]  # type: ignore[no-any-return]


def test_what_came_of_it_is_kept_and_listed_with_its_code(folder: Path) -> None:
    migrated = CliRunner().invoke(program, ["migrate", "--app", "drilled_shop:app"])
    assert migrated.exit_code == 0, migrated.output
    assert call("--list", "--app", "drilled_shop:app").stderr.startswith("No drill is kept.")
    assert call("drilled_shop:mark", *ARGS, "--no-store").exit_code == 0
    assert listed() == []
    assert call("drilled_shop:mark", *ARGS, "--as", "ann").exit_code == 0
    assert call("drilled_shop:count", *ARGS, "--scenario", "X1").exit_code == 1
    bad, clean = listed()
    assert (clean["task"], clean["result"], clean["by"]) == ("drilled_shop.mark", "clean", "ann")
    assert clean["done"] <= clean["wanted"] == 8 and clean["changed"] is False
    assert clean["mode"]["limit"] == 8 and clean["mode"]["calls"] == 0
    assert (bad["result"], bad["findings"][0]["rule"]) == ("findings", "DU001")
    assert bad["mode"]["scenario"] == "X1" and bad["scenarios"]["X1"]["failed"] > 0

    file = folder / "drilled_shop.py"
    file.write_text(file.read_text().replace("SET sent = 1", "SET sent = 2"))
    sys.modules.pop("drilled_shop", None)
    table = call("--list", "drilled_shop:mark", "--app", "drilled_shop:app").output
    assert "changed since" in table and "drilled_shop.count" not in table
    assert [one["changed"] for one in listed()] == [False, True]
    store = call("--list", "--store", "sqlite:///never-made.db", "--app-name", "shop", "--plain").output
    assert store.count("not known") == 2  # no worker has said its code
    import drilled_shop  # type: ignore[import-not-found]

    from dutiful.cli.worker import code_of
    from dutiful.worker.bookkeeping import declared_of

    app = drilled_shop.app
    said = [replace(one, facts={"code": code_of(app.tasks[one.name].function)}) for one in
            (declared_of(task) for task in app.tasks.values())]  # fmt: skip
    app.engine.run(registry.register("shop", "1", said))
    store = call("--list", "--store", "sqlite:///never-made.db", "--app-name", "shop", "--plain").output
    assert "changed since" in store and "the same" in store and "not known" not in store
    assert "just now" in table or "s ago" in table
