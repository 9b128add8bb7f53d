"""The floors hold: see ARCHITECTURE in docs/design, and `floors.py` for how imports are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.places import ROOT
from tests.house.floors import PACKAGE, read, violations


def test_no_module_imports_from_a_floor_above_or_in_a_circle() -> None:
    house = read(ROOT / "src")
    if not house.modules:
        pytest.skip("src/dutiful is not written yet")
    found = "\n".join(violations(house)).replace(f"{ROOT}/", "")
    assert not found, f"\n{found}"


# Planted bugs: each must be reported at its line.


def reported(folder: Path, files: dict[str, str]) -> list[str]:
    """What is wrong with a fake package of these files, in which every room is a package too."""
    package = folder / PACKAGE
    for name, text in {"__init__.py": "", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return [line.replace(f"{package}/", "") for line in violations(read(folder))]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import dutiful.worker.run", 1),
        ("from dutiful.worker import run", 1),
        ("from dutiful.worker.run import Run", 1),
        ("from ..worker import run", 1),
        ("from ..worker.run import Run", 1),
        ("x = 1\n\ndef late():\n    from dutiful.worker import run\n", 4),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dutiful.worker import run\n", 3),
        ("import importlib\nimportlib.import_module('dutiful.worker.run')", 2),
        ("from importlib import import_module\nrun = import_module('dutiful.worker.run')", 2),
    ],
)
def test_an_import_from_a_floor_above_is_reported(tmp_path: Path, text: str, line: int) -> None:
    found = reported(tmp_path, {"worker/run.py": "class Run: ...", "model/jobs.py": text})
    assert len(found) == 1
    assert found[0].startswith(
        f"model/jobs.py:{line}: dutiful.model.jobs imports dutiful.worker.run, a floor above"
    )


def test_rooms_on_the_top_floor_do_not_know_each_other(tmp_path: Path) -> None:
    found = reported(tmp_path, {"cli/tables.py": "", "bridges/pages.py": "from dutiful.cli import tables"})
    assert len(found) == 1
    assert found[0].startswith(
        "bridges/pages.py:1: dutiful.bridges.pages imports dutiful.cli.tables: rooms on the top floor"
    )


def test_a_module_that_imports_the_public_face_from_below_is_reported(tmp_path: Path) -> None:
    found = reported(tmp_path, {"engines/sqlite.py": "\nimport dutiful"})
    assert len(found) == 1
    assert found[0].startswith("engines/sqlite.py:2: dutiful.engines.sqlite imports dutiful, the public face")


def test_a_module_on_no_floor_is_reported(tmp_path: Path) -> None:
    found = reported(tmp_path, {"tools/text.py": "", "stray.py": ""})
    assert [line.partition(":")[0] for line in found] == ["stray.py", "tools/__init__.py", "tools/text.py"]


@pytest.mark.parametrize(
    "files",
    [
        {"model/a.py": "from dutiful.model import b", "model/b.py": "from dutiful.model import a"},
        {
            "model/a.py": "from .b import x",
            "model/b.py": "from .c import x",
            "model/c.py": "import dutiful.model.a",
        },
        {"sql/a.py": "import dutiful.operations.b", "operations/b.py": "import dutiful.sql.a"},
    ],
    ids=["two", "three", "over two rooms of a floor"],
)
def test_a_circle_is_reported_once(tmp_path: Path, files: dict[str, str]) -> None:
    found = reported(tmp_path, files)
    assert len(found) == 1
    assert "imports in a circle" in found[0]


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    files = {
        "__init__.py": "def __getattr__(name):\n    from dutiful.app.app import App\n    return App",
        "__main__.py": "from dutiful.cli.main import main",
        "model/jobs.py": "import json",
        "model/policy.py": "from dutiful.model.jobs import Job",
        "sql/names.py": "from dutiful.operations import plan",
        "operations/plan.py": "def late():\n    from dutiful.sql import names",
        "app/app.py": "import click\nfrom dutiful.model import jobs\nfrom dutiful.sql.names import x",
        "cli/main.py": "from dutiful.app.app import App\nimport dutiful",
        "cli/more.py": "from dutiful.cli import main",
    }
    assert reported(tmp_path, files) == []
