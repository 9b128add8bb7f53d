"""A wheel built from the clone holds all that it needs and works where nothing else is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from devtools.places import ROOT

PACKAGE = ROOT / "src" / "dutiful"
QUICKSTART = ROOT / "examples" / "quickstart.py"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (PACKAGE / "__init__.py").exists(), reason="dutiful/__init__.py is not written yet"
    ),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], cwd=folder)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel, what it requires, and nothing more."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    call([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], cwd=folder)
    return python


def call(command: list[object], cwd: Path) -> str:
    """Away from the clone, so that nothing is found by standing in it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    expected = {f"dutiful/{path.relative_to(PACKAGE)}" for path in files}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("dutiful/")}

    assert held == expected
    assert "dutiful/py.typed" in held
    assert any(name.endswith(".sql") for name in held)


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    assert any(name.endswith("LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_dutiful_is_imported_from_the_wheel(python: Path, tmp_path: Path) -> None:
    where = call([python, "-c", "import dutiful; print(dutiful.__file__)"], cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parent.parent)


def test_the_command_is_there(python: Path, tmp_path: Path) -> None:
    if not (PACKAGE / "cli" / "__init__.py").exists():
        pytest.skip("the command line is not written yet")
    assert "worker" in call([python.parent / "dutiful", "--help"], cwd=tmp_path)


def test_the_quick_start_runs(python: Path, tmp_path: Path) -> None:
    if not QUICKSTART.exists():
        pytest.skip("examples/quickstart.py is not written yet")
    copy = tmp_path / "quickstart.py"
    copy.write_text(QUICKSTART.read_text())
    call([python, copy], cwd=tmp_path)
