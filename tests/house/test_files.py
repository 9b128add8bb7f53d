"""Every file says what it is, has a name that means something, and holds one idea."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.places import ROOT

FORBIDDEN = {"utils", "common", "helpers", "base", "manager", "handler", "data", "info"}
EXCEPTED = {"src/dutiful/sql/common"}
LINES_MAX = 400
FOLDERS = ("src/dutiful", "devtools", "bench", "examples", "tests")
VENDORED = "vendor"


def modules(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if VENDORED not in path.parts:
                yield path


def with_a_forbidden_name(root: Path) -> list[str]:
    """Modules, and the folders that they and the SQL files are in."""
    files = [*modules(root), *sorted((root / "src").rglob("*.sql"))]
    named = {path.relative_to(root) for path in files if path.suffix == ".py"}
    named |= {parent for path in files for parent in path.relative_to(root).parents}
    return sorted(str(path) for path in named if path.stem in FORBIDDEN and str(path) not in EXCEPTED)


def too_long(root: Path) -> list[str]:
    """Tests may be long: they are lists of facts."""
    counted = (
        (path, len(path.read_text().splitlines())) for path in modules(root) if "tests" not in path.parts
    )
    return [f"{path.relative_to(root)}: {lines} lines" for path, lines in counted if lines > LINES_MAX]


def without_a_docstring(root: Path) -> list[str]:
    """An empty `__init__.py` has nothing to say."""
    silent = (path for path in modules(root) if path.read_text().strip() and not documented(path))
    return [f"{path.relative_to(root)}:1" for path in silent]


def documented(path: Path) -> bool:
    return ast.get_docstring(ast.parse(path.read_text(), str(path))) is not None


CHECKS = [with_a_forbidden_name, too_long, without_a_docstring]


@pytest.mark.parametrize("check", CHECKS)
def test_no_file_of_the_house_is(check) -> None:
    assert check(ROOT) == []


def test_planted_files_are_reported(tmp_path: Path) -> None:
    package = tmp_path / "src" / "dutiful"
    for path, text in {
        package / "app" / "utils.py": '"""What it is."""\n',
        package / "common" / "x.py": '"""What it is."""\n',
        package / "sql" / "common" / "job.sql": "",
        package / "sql" / "data" / "job.sql": "",
        package / "worker" / "long.py": '"""What it is."""\n' + "\n" * LINES_MAX,
        tmp_path / "tests" / "long.py": "import os\n" + "\n" * LINES_MAX,
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    names = ["src/dutiful/app/utils.py", "src/dutiful/common", "src/dutiful/sql/data"]
    assert with_a_forbidden_name(tmp_path) == names
    assert too_long(tmp_path) == ["src/dutiful/worker/long.py: 401 lines"]
    assert without_a_docstring(tmp_path) == ["tests/long.py:1"]
