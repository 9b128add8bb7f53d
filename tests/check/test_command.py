"""``dutiful check`` as a command: formats, exit codes, choices, and its own code."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from devtools.places import ROOT
from dutiful.check.catalogue import all_rules
from dutiful.cli.root import program

BAD = """
import requests
from celery import Celery
c = Celery("shop")

@c.task(acks_late=True)
def tell(url, password):
    requests.post(url, json={})
    conn.execute("insert into log (text) values (?)", (url,))

@c.task()
def fine(url):
    requests.get(url, timeout=3)
"""
WARNS = BAD.replace("(acks_late=True)", "()").replace(", password", "")
CLEAN = BAD[: BAD.index("@c.task(acks")] + BAD[BAD.index("@c.task()") :]
OURS = """
from dutiful import App
app = App("shop", "sqlite:///shop.db")
options = {"timeout": "20s"}

@app.task(**options)
def quiet(order_id: int) -> None:
    pass

@app.task()
def loud(order_id: int) -> None:
    pass
"""


class Shell:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *args: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = program.main(["check", *args], standalone_mode=False)
        return code, *self.capsys.readouterr()

    def put(self, code: str, name: str = "jobs.py") -> None:
        (self.folder / name).write_text(code, "utf-8")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DUTIFUL_APP", raising=False)
    return Shell(tmp_path, capsys)


class Found(msgspec.Struct, forbid_unknown_fields=True):
    rule: str
    severity: str
    path: str
    line: int
    column: int
    task: str
    tasks: int
    system: str
    why: str
    fix: str
    source: str


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON document, frozen: a field may be added with a new number of the schema only."""

    schema: str
    exit: int
    files: int
    lines: int
    tasks: dict[str, int]
    errors: int
    warnings: int
    infos: int
    silenced: int
    known: int
    skipped: list[dict[str, str]]
    unreadable: list[dict[str, str]]
    findings: list[Found]
    checklist: list[dict[str, Any]] | None


def test_errors_end_with_1_warnings_only_if_strict_clean_with_0(shell: Shell) -> None:
    shell.put(BAD)
    code, out, err = shell(".")
    assert code == 1 and "✗ DU004  line 8, jobs.tell" in out and "✗ DU015" in out
    assert out.splitlines()[-1].startswith("✗ 2 tasks (2 of celery): 2 errors, 2 warnings")
    assert "DU002 needs --schema URL" in err
    shell.put(WARNS)
    assert shell(".")[0] == 0 and shell("--strict")[0] == 1
    shell.put(CLEAN)
    code, out, _ = shell("--strict")
    assert (code, out) == (0, "✓ 1 task (1 of celery): nothing found, 1 rule skipped.\n")


def test_a_file_that_does_not_parse_is_named_and_the_others_are_checked(shell: Shell) -> None:
    shell.put("def f(:\n    @task")
    shell.put(WARNS, "more.py")
    code, out, err = shell(".")
    assert code == 3 and "Not checked: jobs.py: line 1" in err and "DU024" in out
    shell.put(BAD, "more.py")
    assert shell(".")[0] == 1
    (shell.folder / "jobs.py").write_bytes(b"\xff\xfe@task")
    assert shell("--json")[0] == 1


def test_the_json_document_has_its_schema(shell: Shell) -> None:
    shell.put(BAD)
    code, out, _ = shell("--format", "json")
    document = msgspec.json.decode(out, type=Document, strict=True)
    assert (document.schema, document.exit, code) == ("dutiful/check/1", 1, 1)
    assert (document.errors, document.tasks, document.files) == (2, {"celery": 2}, 1)
    assert {one.rule for one in document.findings} == {"DU004", "DU015", "DU024", "DU041"}
    assert json.loads(out) == json.loads(shell("--json")[1])
    assert [one["rule"] for one in document.skipped] == ["DU002"]


def test_junit_and_github(shell: Shell) -> None:
    shell.put(BAD)
    suite = ElementTree.fromstring(shell("--format", "junit")[1]).find("testsuite")
    assert suite is not None and suite.get("failures") == "2" and len(suite.findall("testcase/failure")) == 2
    lines = shell("--format", "github")[1].splitlines()
    assert len(lines) == 4 and lines[0].startswith("::error file=jobs.py,line=7,col=")
    shell.put(CLEAN)
    suite = ElementTree.fromstring(shell("--format", "junit")[1]).find("testsuite")
    assert suite is not None and (suite.get("tests"), suite.get("failures")) == ("1", "0")


def test_rules_and_tasks_are_chosen(shell: Shell) -> None:
    shell.put(BAD)

    def rules(*args: str) -> set[str]:
        return {one["rule"] for one in json.loads(shell("--json", *args)[1])["findings"]}

    assert rules("--select", "DU02") == {"DU024"}
    assert rules("--ignore", "DU004,DU015") == {"DU024", "DU041"}
    assert rules("--task", "jobs.fine") == set()
    assert rules("--task", "tell") == {"DU004", "DU015", "DU024", "DU041"}
    for args, says in (
        (("--task", "nobody"), "There is no task 'nobody'"),
        (("--select", "DU9"), "there is no rule DU9"),
        (("nowhere",), "does not exist"),
        (("--baseline", "none.json"), "--write-baseline"),
    ):
        code, _, err = shell(*args)
        assert code == 2 and says in err


def test_a_baseline_lets_the_old_pass_and_stops_the_new(shell: Shell) -> None:
    shell.put(BAD)
    assert shell("--write-baseline", "known.json")[0] == 0
    code, out, _ = shell("--baseline", "known.json")
    assert code == 0 and "nothing found, 4 known" in out
    shell.put(BAD + "\n@c.task()\ndef third(api_key):\n    pass\n")
    assert shell("--baseline", "known.json")[0] == 1


def test_a_schema_is_read_from_a_sqlite_file(shell: Shell) -> None:
    shell.put(BAD)
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.execute("create table log (id integer primary key, text text)")
    assert "no unique key of log" in shell("--schema", "sqlite:///shop.db", "--select", "DU002")[1]
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.execute("create unique index one on log (text)")
    assert shell("--schema", "sqlite:///shop.db", "--select", "DU002")[0] == 0
    assert shell("--schema", "sqlite:///none.db")[0] == 4
    assert shell("--schema", "mysql://x")[0] == 4


def test_the_lock_is_written_and_compared(shell: Shell) -> None:
    shell.put(OURS, "ours.py")
    assert shell("--lock")[0] == 0 and set(json.loads(Path("dutiful.lock").read_text())["tasks"]) == {
        "ours.quiet",
        "ours.loud",
    }
    shell.put(OURS.replace("def loud", "def noisy"), "ours.py")
    assert "ours.loud is in dutiful.lock" in shell("--select", "DU036")[1]
    Path("dutiful.lock").write_text("{}")
    assert shell()[0] == 2


def test_what_is_registered_wins_over_the_text(shell: Shell) -> None:
    name = f"registered_{abs(hash(shell.folder)) % 10**8}"
    shell.put(OURS, f"{name}.py")
    plain = {one["task"] for one in json.loads(shell("--json", "--select", "DU041")[1])["findings"]}
    assert plain == {f"{name}.quiet", f"{name}.loud"}  # the text does not show what **options hold
    document: dict[str, Any] = json.loads(shell("--json", "--select", "DU041", "--app", f"{name}:app")[1])
    assert {one["task"] for one in document["findings"]} == {f"{name}.loud"}


@pytest.mark.parametrize("rule", ["DU", *all_rules()])
def test_every_rule_is_explained(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["explain", rule], standalone_mode=False) == 0
    out = capsys.readouterr().out
    assert rule in out and (rule == "DU" or "Fix: " in out)
    assert program.main(["explain", "DU999"], standalone_mode=False) == 2


def test_our_own_examples_and_demo_are_clean_or_silenced_with_reasons(shell: Shell) -> None:
    paths = [str(ROOT / "examples"), str(ROOT / "src" / "dutiful" / "demo")]
    code, out, _ = shell("--strict", "--json", *paths)
    document = json.loads(out)
    assert (code, document["findings"]) == (0, [])
    assert document["tasks"]["dutiful"] >= 2 and document["silenced"] >= 1
