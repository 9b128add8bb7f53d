"""``dutiful check`` with a store: drills, the lines of the checklist by task, and waivers made and ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dutiful.check.hashing import Hashes
from dutiful.cli.root import program
from dutiful.engines.urls import open_engine
from dutiful.operations import drills, registry
from dutiful.operations.drills import Found, NewDrill
from dutiful.worker.bookkeeping import declared_of

SOURCE = """
from dutiful import App

app = App("shop", "sqlite:///shop.db")


@app.task(once="mark:{order_id}", timeout="9s", owner="ann")
def mark(order_id: int) -> None:
    print(order_id)


@app.task()
def count(order_id: int) -> None:
    print(order_id)
"""
STORE = ("--store", "sqlite:///shop.db", "--app-name", "shop")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose store knows its tasks; one was drilled, the other one had a finding."""
    (tmp_path / "checked_shop.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import checked_shop  # type: ignore[import-not-found]

    app = checked_shop.app
    app.migrate()
    app.engine.run(registry.register("shop", "1", [declared_of(one) for one in app.tasks.values()]))
    hashes = Hashes()
    played = {"X1": (3, 0), "X2": (4, 0), "X3": (2, 0), "X4": (2, 0), "X5": (3, 0)}
    clean = NewDrill(
        "checked_shop.mark", hashes.of(checked_shop.mark.function), "0.1.0", "sqlite", "clean", "", 14, 14,
        played=played, mode={"calls": 0},
    )  # fmt: skip
    found = Found("X3", "X3 crash", "DU001", "after COMMIT", "1 → 2", "exactly_once")
    bad = NewDrill("checked_shop.count", "", "0.1.0", "sqlite", "findings", "", 3, 3, findings=[found])
    app.engine.run(drills.record("shop", clean, by="ann"))
    app.engine.run(drills.record("shop", bad, by="ann"))
    app.close()
    yield tmp_path
    sys.modules.pop("checked_shop", None)


def check(*words: str) -> Result:
    return CliRunner().invoke(program, ["check", *words])


def tasks(*words: str) -> dict[str, Any]:
    answer = check(*words, "--json")
    return {one["task"].rpartition(".")[2]: one for one in json.loads(answer.stdout)["checklist"]}


def states(task: dict[str, Any]) -> dict[str, str]:
    return {one["line"]: one["state"] for one in task["lines"]}


def test_each_task_tells_its_drill_and_whether_the_code_changed_since(folder: Path) -> None:
    for reached in (STORE, ("--app", "checked_shop:app")):
        answer = check(*reached)
        assert answer.exit_code == 0, answer.output
        assert "✓ drilled" in answer.stdout and ": clean\n" in answer.stdout
        assert "1 finding (DU001)" in answer.stdout and "dutiful drill checked_shop:count" in answer.stdout
        assert "1 of 2 drilled clean with this code." in answer.stdout
    told = tasks(*STORE)
    assert (told["mark"]["drill"]["changed"], told["count"]["drill"]["changed"]) == (False, None)
    assert {line: state for line, state in states(told["mark"]).items() if state == "drilled"}.keys() == {
        "idempotent", "locks", "transactions",
    }  # fmt: skip
    assert states(told["mark"])["outside"] == "not applicable"
    assert states(told["count"])["key"] == "missing"

    file = folder / "checked_shop.py"
    file.write_text(file.read_text().replace("    print(order_id)", "    print(-order_id)", 1))
    answer = check(*STORE)
    assert ": clean, code changed since" in answer.stdout and "✓ drilled" not in answer.stdout
    told = tasks(*STORE)
    assert told["mark"]["drill"]["changed"] is True
    assert states(told["mark"])["idempotent"] == "declared"


def test_a_line_is_waived_and_open_again(folder: Path) -> None:
    named = ("checked_shop.count", "key")
    words = ("--owner", "ben", "--until", "90d", "--because", "nobody enqueues it twice")
    made = check(*STORE, "--waive", *named, *words, "--as", "ann")
    assert (made.exit_code, made.stdout) == (0, "") and "key of checked_shop.count is waived" in made.stderr
    [line] = [one for one in tasks(*STORE)["count"]["lines"] if one["line"] == "key"]
    assert (line["state"], line["waiver"]["owner"], line["waiver"]["by"]) == ("waived", "ben", "ann")
    assert "~ key" in check(*STORE).stdout and "1 waived" in check(*STORE).stdout
    ended = check(*STORE, "--end-waiver", *named, "--because", "it has a key now")
    assert ended.exit_code == 0, ended.output
    assert states(tasks(*STORE)["count"])["key"] == "missing"
    assert check(*STORE, "--end-waiver", *named).exit_code == 5


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (("--waive", "checked_shop.count", "key"), "Add --owner NAME, --until 90d, --because", 2),
        (("--waive", "checked_shop.count", "kay", "--until", "1d"), "(did you mean key?)", 5),
        (("--waive", "checked_shop.coutn", "key", "--until", "1d"), "(did you mean checked_shop.count?)", 5),
        (("--waive", "checked_shop.count", "key", "--until", "2y"), "neither a span as 90d", 2),
        (("--waive", "checked_shop.count", "key", "--until", "2001-01-01"), "is in the past", 2),
        (("--waive", "checked_shop.count", "key", "--until", "999d"), "at most", 5),
        (("--owner", "ben"), "go with --waive", 2),
        (("--end-waiver", "checked_shop.count", "key", "--until", "1d"), "go with --waive", 2),
        (("--waive", "a", "b", "--end-waiver", "a", "b"), "give one of them", 2),
    ],
)
def test_what_cannot_be_waived(folder: Path, words: tuple[str, ...], says: str, code: int) -> None:
    if "--until" in words and words[0] == "--waive":
        words = (*words, "--owner", "ben", "--because", "so")
    answer = check(*STORE, *words)
    assert says in answer.output and answer.exit_code == code, answer.output


def test_a_store_that_is_not_there_is_told_and_the_code_is_checked(folder: Path) -> None:
    (folder / "shop.db").unlink()
    answer = check("--app", "checked_shop:app")
    assert answer.exit_code == 0 and "2 tasks (2 of dutiful)" in answer.stdout
    assert "Of drills and waivers nothing is known here: DE303" in answer.stderr
    assert json.loads(check("--app", "checked_shop:app", "--json").stdout)["checklist"] is None
    assert not (folder / "shop.db").exists()
    engine = open_engine("sqlite:///shop.db")
    engine.migrate()
    engine.close()
    assert tasks(*STORE)["mark"] == {**tasks(*STORE)["mark"], "drill": None, "lines": None}
