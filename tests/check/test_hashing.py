"""The hash of a task's code: what changes it, what does not; it is the same from wherever one looks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dutiful.check.hashing import Hashes, first_line
from dutiful.check.sources import Project
from dutiful.check.systems import find_tasks

JOBS = '''
from dutiful import App
from hashed.pay import charge

app = App("shop", "sqlite:///x.db")


@app.task(once="send:{order_id}", queue="mail")
def send(order_id: int) -> None:
    """Send it."""
    charge(order_id)


@app.task(once="other:{order_id}")
def other(order_id: int) -> None:
    print(order_id)
'''
PAY = """
def charge(order_id):
    return first(order_id)

def first(order_id):
    return second(order_id)

def second(order_id):
    return third(order_id)

def third(order_id):
    return order_id

def beside():
    return 1
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two modules, which can be imported."""
    folder = tmp_path / "hashed"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "jobs.py").write_text(JOBS)
    (folder / "pay.py").write_text(PAY)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [one for one in sys.modules if one.partition(".")[0] == "hashed"]:
        del sys.modules[name]


def hash_of(package: Path, name: str = "send") -> str:
    found = {one.node.name: one for one in find_tasks(Project((package,)))}[name]
    return Hashes().at(found.module.path, found.node.name, first_line(found.node))


def edited(package: Path, file: str, old: str, new: str) -> str:
    path = package / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return hash_of(package)


def test_layout_comments_docstrings_and_what_is_beside_do_not_change_it(package: Path) -> None:
    before = hash_of(package)
    assert len(before) == 32
    for file, old, new in (
        ("jobs.py", '"""Send it."""', '"""Send it, once."""'),
        ("jobs.py", "    charge(order_id)", "    # now\n\n    charge(\n        order_id\n    )"),
        ("jobs.py", 'queue="mail"', 'queue="slow"'),
        ("jobs.py", "print(order_id)", "print(order_id + 1)"),
        ("pay.py", "return 1", "return 2"),
        ("pay.py", "def charge(order_id):", "def charge(order_id):  # of an order"),
    ):
        assert edited(package, file, old, new) == before, new


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("jobs.py", "    charge(order_id)", "    charge(order_id + 1)"),
        ("jobs.py", 'once="send:{order_id}"', 'once="send:{order_id}", retry=0'),
        ("jobs.py", 'order_id: int) -> None:\n    "', "order_id: int, to: str = '') -> None:\n    \""),
        ("pay.py", "return first(order_id)", "return first(order_id) or 1"),
        ("pay.py", "return second(order_id)", "return second(-order_id)"),
        ("pay.py", "return third(order_id)", "return third(0)"),
    ],
    ids=["body", "declaration", "arguments", "one deep", "two deep", "three deep"],
)
def test_what_it_does_changes_it(package: Path, file: str, old: str, new: str) -> None:
    before = hash_of(package)
    assert edited(package, file, old, new) != before


def test_it_is_the_same_for_the_running_function_and_from_another_root(package: Path) -> None:
    jobs = importlib.import_module("hashed.jobs")
    seen = hash_of(package)
    assert Hashes().of(jobs.send.function) == seen
    assert hash_of(package.parent) == seen
    assert Hashes().of(jobs.other.function) == hash_of(package, "other") != seen


def test_what_has_no_source_has_no_hash(tmp_path: Path) -> None:
    made: dict[str, object] = {}
    exec("def made(): pass", made)
    assert Hashes().of(made["made"]) == "" == Hashes().of(len)  # type: ignore[arg-type]
    (tmp_path / "broken.py").write_text("def (")
    assert Hashes().at(tmp_path / "broken.py", "x", 1) == ""


def test_a_function_inside_of_another_is_found_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "nested.py"
    file.write_text(
        "def make():\n    def one():\n        return 1\n    return one\n\ndef one():\n    return 2\n"
    )
    assert Hashes().at(file, "one", 2) != Hashes().at(file, "one", 6) != ""
