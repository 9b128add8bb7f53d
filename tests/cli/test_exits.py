"""Exit codes and errors: the table of the interface, each kind of bad input, and what is said with it."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import textwrap
from pathlib import Path
from urllib.parse import quote

import pytest

from dutiful.cli import exits, failures
from dutiful.cli.root import program
from dutiful.cli.session import Session
from dutiful.engines.urls import open_engine
from dutiful.model import errors
from tests.cli.conftest import Shop
from tests.contract.stores import opened, write

CODES = {
    "DONE": 0,
    "BAD": 1,
    "USAGE": 2,
    "CANNOT_SAY": 3,
    "NO_STORE": 4,
    "REFUSED": 5,
    "PARTIAL": 6,
    "BUG": 70,
    "INTERRUPTED": 130,
}


def test_the_codes_are_those_of_the_interface() -> None:
    found = {name: value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert found == CODES


ENDS = {
    "DE000": 70, "DE100": 2, "DE101": 2, "DE102": 2, "DE103": 2, "DE104": 2, "DE105": 4, "DE106": 2,
    "DE107": 2,
    "DE200": 2, "DE201": 2, "DE202": 2, "DE203": 5, "DE204": 2, "DE205": 2, "DE206": 2, "DE207": 2,
    "DE300": 4, "DE301": 4, "DE302": 4, "DE303": 4, "DE304": 5, "DE305": 4, "DE306": 4, "DE307": 3,
    "DE310": 4, "DE311": 4, "DE312": 4, "DE313": 4, "DE314": 4, "DE315": 4, "DE316": 4, "DE317": 4,
    "DE400": 1, "DE401": 1, "DE402": 1, "DE403": 3, "DE404": 1, "DE405": 1, "DE406": 1, "DE407": 1,
    "DE408": 1, "DE409": 1, "DE410": 1, "DE411": 1, "DE412": 1, "DE413": 1, "DE414": 1, "DE415": 1,
    "DE416": 1,
    "DE500": 5, "DE501": 1, "DE502": 5, "DE503": 5, "DE504": 5,
    "DE505": 5, "DE506": 5, "DE507": 5, "DE460": 1, "DE560": 5,
    "DE480": 1, "DE580": 5,
    "DE700": 1, "DE701": 1, "DE702": 1, "DE703": 5,
    "DE600": 1, "DE601": 1, "DE602": 1, "DE603": 1,
    "DE800": 5, "DE801": 5, "DE802": 5, "DE803": 5, "DE804": 5, "DE805": 5, "DE806": 1, "DE807": 5,
    "DE808": 5, "DE809": 5, "DE810": 5, "DE811": 5,
    "DE900": 5, "DE901": 5, "DE902": 4,
}  # fmt: skip


def test_every_error_ends_with_its_code() -> None:
    found = {kind.code: exits.exit_of(kind.__new__(kind)) for kind in errors.all_errors()}
    assert found == ENDS


# ── usage ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["jbo", "list"], "There is no command 'jbo'; did you mean 'job'?"),
        (["job", "lits"], "There is no command 'lits'; did you mean 'list'?"),
        (["job", "list", "--stat", "dead"], "--state"),
        (["job", "list", "--state", "ded"], "'ded' is not one of"),
        (["job", "list", "--limit", "0"], "0 is not in the range"),
        (["job", "show", "42"], "'42' is no job id"),
        (["job", "show"], "Missing argument"),
        (["enqueue", "chrage", "order_id=1"], "DE204 App 'shop' has no task 'chrage' (did you mean charge?)"),
        (["enqueue", "charge", "order_id=x"], "DE201 Cannot enqueue charge: argument order_id"),
        (["enqueue", "charge", "order=1"], "did you mean order_id?"),
        (["enqueue", "charge"], "argument order_id is missing"),
        (["enqueue", "charge", "order_id"], "'order_id' is no KEY=VALUE"),
        (["enqueue", "charge", "order_id=1", "order_id=2"], "'order_id' is given twice"),
        (["enqueue", "charge", "--args", "{"], "--args is no JSON"),
        (["enqueue", "charge", "--args", "1"], "--args is a JSON object"),
        (["enqueue", "charge", "--args", "[1, 2, 3]"], "one too many"),
        (["enqueue", "charge", "order_id=1", "--args", "{}"], "give one of them"),
        (["enqueue", "charge", "order_id=1", "--run-in", "soon"], "DE103"),
        (["enqueue", "charge", "order_id=1", "--run-at", "soon"], "--run-at 'soon' is no instant"),
        (["enqueue", "charge", "order_id=1", "--run-in", "1s", "--run-at", "2026-01-01"], "DE205"),
        (["enqueue", "charge", "order_id=1", "--priority", "101"], "DE205"),
        (["enqueue", "charge", "order_id=1", "--queue", "a b"], "DE205"),
        (["enqueue", "charge", "order_id=1", "--id", "x"], "DE205"),
        (["enqueue", "charge", "--args", json.dumps({"order_id": 1, "cents": "x"})], "argument cents"),
        (["worker", "-q", "a:0"], "DE205"),
        (["worker", "-c", "0"], "DE205"),
        (["worker", "--lease", "x"], "DE103"),
        (["explain", "DE999"], "There is no error code 'DE999'"),
        (["job", "list", "--store", "sqlite:///x.db", "--app", "a:b"], "give one of them"),
        (["enqueue", "charge", "--store", "sqlite:///x.db"], "needs the app's code"),
    ],
)
def test_what_is_not_understood_ends_with_2_and_stores_nothing(
    small_shop: Shop, args: list[str], says: str
) -> None:
    small_shop("migrate")
    answer = small_shop(*args)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err
    assert len(answer.err.splitlines()) <= 6
    assert small_shop("job", "list", "--json").document["jobs"] == []


def test_a_payload_too_large_is_named_with_its_limit(small_shop: Shop) -> None:
    answer = small_shop("enqueue", "mail", "to=" + "x" * 70_000)
    assert answer.code == 2 and answer.err.startswith("DE202 ") and "65,536" in answer.err


def test_no_app_at_all(small_shop: Shop) -> None:
    answer = small_shop.bare("job", "list")
    assert answer.code == 2
    for way in ("--app MODULE:VAR", "DUTIFUL_APP", "pyproject.toml", "--store URL"):
        assert way in answer.err


# ── the app ─────────────────────────────────────────────────────────────────────────────────


def test_the_app_is_found_by_option_environment_or_pyproject(small_shop: Shop) -> None:
    shop, path = small_shop, f"{small_shop.module}:app"
    shop("migrate")
    assert shop("queue", "list").code == 0
    assert shop.bare("queue", "list", "--app", path).code == 0
    assert shop.bare("--app", path, "queue", "list").code == 0
    assert shop.bare("queue", "--app", path, "list").code == 0
    assert shop.bare("queue", "list", "--app", shop.module).code == 0  # there is only one App in it
    Path("pyproject.toml").write_text(f'[tool.dutiful]\napp = "{path}"\n')
    assert shop.bare("queue", "list").code == 0
    assert shop("queue", "list", "--app", "nowhere:app").code == 4  # the nearer one wins
    Path("pyproject.toml").write_text("[tool.dutiful]\napp = 7\n")
    assert shop.bare("queue", "list").code == 2
    Path("pyproject.toml").write_text("[tool")
    assert shop.bare("queue", "list").code == 2


def test_a_module_that_is_not_there(small_shop: Shop) -> None:
    answer = small_shop("job", "list", "--app", "nowhere.jobs:app")
    assert answer.code == 4
    assert answer.err.startswith("DE105 There is no module 'nowhere'")


def test_a_name_that_is_not_in_the_module(small_shop: Shop) -> None:
    answer = small_shop("job", "list", "--app", f"{small_shop.module}:ap")
    assert answer.code == 4 and answer.err.startswith("DE105 ") and "did you mean app?" in answer.err


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("import os\n\ndef load():\n    return os.environ['NO_SUCH']\n\nload()\n", "KeyError: 'NO_SUCH'", 4),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'", 1),
        ("x = (1,\n", "SyntaxError: ", 1),
        ("import sys\nsys.exit(3)\n", r"it ended the program, by sys.exit\(3\)", 2),
        ("import dutiful\napp = dutiful.App('a', 'oracle://x')\n", "DE301 'oracle' is no kind of store", 2),
        (
            "import dutiful\napp = dutiful.App('a', 'sqlite://')\n@app.task(priority=999)\ndef f(): ...\n",
            "DE101|DE205|priority=999",
            3,
        ),
    ],
)
def test_a_module_that_breaks_is_shown_with_its_own_lines(
    small_shop: Shop, text: str, says: str, line: int
) -> None:
    Path("broken.py").write_text(text)
    try:
        answer = small_shop("job", "list", "--app", "broken:app")
    finally:
        sys.modules.pop("broken", None)
    assert answer.code == 4
    first, *rest = answer.err.splitlines()
    assert first.startswith("DE105 Importing broken failed: ") and re.search(says, first)
    assert any(f'broken.py", line {line}' in one for one in rest)
    assert "importlib" not in answer.err and "/dutiful/" not in answer.err
    assert len(rest) <= 8


# ── the store ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "DE301 'nonsense' is no URL of a store"),
        ("oracle://x", "DE301 'oracle' is no kind of store"),
        ("postgresql+psycopg://x/y", "DE301"),
        ("sqlite://jobs.db", "DE301"),
        ("sqlite:///jobs.db?journal=x", "DE301"),
        ("sqlite:///nowhere.db", "DE303 There is no file"),
        ("postgresql://nobody@127.0.0.1:1/none", "DE303"),
    ],
)
def test_a_store_that_cannot_be_had(small_shop: Shop, url: str, says: str) -> None:
    answer = small_shop.bare("job", "list", "--store", url)
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith(says)
    assert not Path("nowhere.db").exists()


def test_a_file_that_is_no_database(small_shop: Shop) -> None:
    Path("note.txt").write_text("no database\n" * 200)
    answer = small_shop.bare("job", "list", "--store", "sqlite:///note.txt")
    assert answer.code == 4 and answer.err.startswith("DE303 ")


def test_a_password_is_never_printed(small_shop: Shop) -> None:
    for url in ("postgresql+x://ann:s3cret@host/db", "postgresql://ann:s3cret@127.0.0.1:1/db"):
        answer = small_shop.bare("job", "list", "--store", url, "--json")
        assert answer.code == 4 and "s3cret" not in answer.err + answer.out


def test_a_schema_that_is_missing(small_shop: Shop, empty_postgres_url: str) -> None:
    answer = small_shop.bare("queue", "list", "--store", empty_postgres_url)
    assert answer.code == 4 and answer.err.startswith("DE310 ") and "dutiful migrate" in answer.err


@pytest.mark.parametrize(("number", "code"), [(99, "DE312"), (-1, "DE311")])
def test_a_schema_of_another_version(shop: Shop, number: int, code: str) -> None:
    shop("migrate")
    with opened(shop.url) as engine:
        write(engine, "DELETE FROM dutiful.version WHERE number > 1")
        write(engine, "UPDATE dutiful.version SET number = %s", number)
    for args in (["job", "list"], ["enqueue", "charge", "order_id=1"]):
        answer = shop(*args)
        assert (answer.code, answer.out) == (4, "") and answer.err.startswith(f"{code} ")


def test_a_store_that_is_read_only(small_shop: Shop, postgres_url: str) -> None:
    locked = f"{postgres_url}?options={quote('-c default_transaction_read_only=on')}"
    with opened(postgres_url):
        pass
    Path("locked.py").write_text(
        f"import dutiful\napp = dutiful.App('shop', {locked!r})\n@app.task(name='t')\ndef t(n: int): ...\n"
    )
    try:
        assert small_shop("job", "list", "--app", "locked:app").code == 0
        answer = small_shop("enqueue", "t", "n=1", "--app", "locked:app")
    finally:
        sys.modules.pop("locked", None)
    assert answer.code == 5 and answer.err.startswith("DE304 ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_file_that_may_not_be_written(small_shop: Shop) -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'jobs.db'}"
        open_engine(url).migrate()
        for command in (
            ("job", "list"),
            ("doctor",),
        ):  # the program's own files may be root's alone: load them now
            assert small_shop.bare(*command, "--store", url).code in (0, 1)
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        os.seteuid(nobody)
        try:
            answer = small_shop.bare("job", "list", "--store", url)
            doctor = small_shop.bare("doctor", "--store", url)
        finally:
            os.seteuid(0)
    assert answer.code in (4, 5) and answer.err.startswith("DE30")
    assert doctor.code == 1 and "may not write" in doctor.out


# ── several apps in a store ─────────────────────────────────────────────────────────────────


def test_a_store_alone_is_enough_for_looking(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    for args in (["job", "list"], ["job", "show", id], ["job", "why", id], ["queue", "list"], ["verify"]):
        answer = shop.bare(*args, "--store", shop.url)
        assert answer.code == 0, answer.err
    assert shop.bare("job", "cancel", id, "--store", shop.url).code == 0
    needs = shop.bare("job", "retry", id, "--store", shop.url)  # its duty is to be worked out anew
    assert needs.code == 5 and "--app MODULE:VAR" in needs.err


def test_of_several_apps_one_must_be_named(shop: Shop) -> None:
    shop.enqueue("charge", "order_id=1")
    with opened(shop.url) as engine:
        write(engine, "INSERT INTO dutiful.lane (app, queue, priority) VALUES ('other', 'default', 0)")
    which = shop.bare("job", "list", "--store", shop.url)
    assert which.code == 2 and "one of other, shop" in which.err
    assert len(shop.bare("job", "list", "--store", shop.url, "--app-name", "shop").out.splitlines()) == 2
    assert shop.bare("job", "list", "--store", shop.url, "--app-name", "other").out == ""
    wrong = shop.bare("job", "list", "--store", shop.url, "--app-name", "shpo")
    assert wrong.code == 2 and "did you mean shop?" in wrong.err


def test_an_app_name_that_is_not_the_app_s_is_refused(small_shop: Shop) -> None:
    small_shop("migrate")
    assert small_shop("job", "list", "--app-name", "shop").code == 0
    assert small_shop("job", "list", "--app-name", "other").code == 2


# ── documents and bugs ──────────────────────────────────────────────────────────────────────


def test_an_error_is_a_document_too(small_shop: Shop) -> None:
    answer = small_shop("enqueue", "chrage", "--json")
    assert answer.document == {
        "schema": "dutiful/error/1",
        "code": "DE204",
        "message": "App 'shop' has no task 'chrage' (did you mean charge?).",
        "hint": "",
        "exit": 2,
    }
    assert small_shop("job", "show", "42", "--json").document["exit"] == 2


def test_a_bug_of_ours_leaves_a_report(
    small_shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in postgresql://ann:s3cret@host/db")

    small_shop("migrate")
    monkeypatch.setattr("dutiful.operations.inspect.queues", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = small_shop("queue", "list")
    assert answer.code == 70 and answer.out == ""
    found = re.search(r"report ([0-9a-f]{8})\): ZeroDivisionError", answer.err)
    assert found is not None and "s3cret" not in answer.err
    [report] = tmp_path.glob(f"dutiful-report-{found[1]}-*.txt")
    assert str(report) in answer.err
    text = report.read_text()
    assert "Traceback" in text and "s3cret" not in text
    assert report.stat().st_mode & 0o077 == 0

    loud = small_shop("queue", "list", env={"DUTIFUL_DEBUG": "1"})
    assert loud.code == 70 and "Traceback (most recent call last)" in loud.err
    assert small_shop("queue", "list", "--json").document["exit"] == 70


def test_an_interrupt_ends_with_130(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    small_shop("migrate")
    monkeypatch.setattr("dutiful.operations.inspect.queues", interrupted)
    answer = small_shop("queue", "list")
    assert (answer.code, answer.err) == (130, "Interrupted.\n")


def test_the_shape_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.SchemaMissing("shop at db:5432 has no tables of dutiful's.", hint="Run this.\nOr that.")
    assert failures.report(error, Session()) == 4
    shown = "DE310 shop at db:5432 has no tables of dutiful's.\n      Run this.\n      Or that.\n"
    assert capsys.readouterr().err == shown


# ── help ────────────────────────────────────────────────────────────────────────────────────


def test_the_help_names_every_command_in_the_order_of_a_newcomer(small_shop: Shop) -> None:
    listed = textwrap.dedent(small_shop.bare("--help").out.partition("Commands:\n")[2]).splitlines()
    named = [line.split()[0] for line in listed[: listed.index("")] if not line.startswith(" ")]
    assert named == list(program.lazy)  # type: ignore[attr-defined]


def test_the_version_is_told(small_shop: Shop) -> None:
    assert re.fullmatch(r"dutiful \d+\.\d+\.\d+\S*\n", small_shop.bare("--version").out)
