"""``dutiful init``: what it writes is sound code, and what it says to type next works as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dutiful.cli.first_project import files
from tests.cli.conftest import Shop

WRITTEN = ["jobs.py", "tables.sql", "test_jobs.py", "pyproject.toml"]


def commands(out: str) -> list[str]:
    """What is printed to be typed, line by line."""
    return [line.partition("  #")[0].strip() for line in out.splitlines()]


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line as a person types it, in that folder, with this environment's programs."""
    env = {k: v for k, v in os.environ.items() if k not in ("DUTIFUL_APP", "COLUMNS", "NO_COLOR")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_what_is_printed_is_typed_and_works(small_shop: Shop) -> None:
    answer = small_shop.bare("init", "first")
    assert answer.code == 0, answer.err
    cd, *lines, last = commands(answer.out)
    assert cd == "cd first" and last == "dutiful dev --open"  # which stays until Ctrl-C: see test_dev.py
    folder = small_shop.folder / "first"
    assert sorted(path.name for path in folder.iterdir()) == sorted(WRITTEN)
    assert all(f"first/{name}" in answer.err for name in WRITTEN)
    said = done_all(lines, folder)
    assert (folder / "receipts" / "7.txt").read_text() == "5.00 received by transfer 7\n"
    assert "4 passed" in said["pytest"]
    assert "nothing found, 1 silenced" in said["dutiful check --strict"]
    assert ": clean" in said["dutiful drill"]
    other = files("first", "postgresql://localhost/first")["jobs.py"]
    (folder / "jobs_in_postgres.py").write_text(other)
    for tool in ("ruff format --isolated --check .", "ruff check --isolated --select F,I,B,UP,SIM .",
                 "mypy --strict jobs.py test_jobs.py jobs_in_postgres.py"):  # fmt: skip
        done = typed(f"{sys.executable} -m {tool}", folder)
        assert done.returncode == 0, (tool, done.stdout, done.stderr)


def test_in_postgresql_it_works_as_well(small_shop: Shop, empty_postgres_url: str) -> None:
    """But for its tests, which go by SQLite wherever the app's jobs are."""
    answer = small_shop.bare("init", "first", "--store", empty_postgres_url)
    folder = small_shop.folder / "first"
    lines = [
        line.replace("--limit 30", "--limit 5") for line in commands(answer.out)[1:-1] if line != "pytest"
    ]
    said = done_all(lines, folder)
    assert (folder / "receipts" / "7.txt").read_text() == "5.00 received by transfer 7\n"
    assert ": clean" in said["dutiful drill"]


def done_all(lines: list[str], folder: Path) -> dict[str, str]:
    """What each of them said, by its beginning."""
    said = {}
    for line in lines:
        done = typed(line, folder)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        said[line.split("jobs")[0].strip()] = done.stdout
    return said


def test_nothing_that_is_there_is_written_over(small_shop: Shop) -> None:
    for name in WRITTEN:
        folder = small_shop.folder / f"with_{name}"
        folder.mkdir()
        (folder / name).write_text("mine")
        answer = small_shop.bare("init", folder.name)
        assert answer.code == 5 and f"{folder.name} has {name} already. Nothing was written." in answer.err
        assert [path.name for path in folder.iterdir()] == [name] and (folder / name).read_text() == "mine"
    (small_shop.folder / "dangling").mkdir()
    (small_shop.folder / "dangling" / "jobs.py").symlink_to("nowhere")
    assert small_shop.bare("init", "dangling").code == 5


def test_a_folder_that_is_there_is_filled_and_named_after(
    small_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = small_shop.folder / "Käse & Brot"
    here.mkdir()
    (here / "README").touch()
    monkeypatch.chdir(here)
    document = small_shop.bare("init", "--json").document
    assert document["schema"] == "dutiful/init/1" and document["written"] == WRITTEN
    assert document["next"][0] == "dutiful migrate"
    text = (here / "jobs.py").read_text()
    assert 'app = App("K-se-Brot", URL)' in text and 'URL = "sqlite:///K-se-Brot.db"' in text


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--store", "sqlite://"], 2, "wants a file"),
        (["--store", "sqlite:///a.db?driver=apsw"], 2, "without options"),
        (["--store", "postgresql://ann:secret@localhost/shop"], 2, "has a password"),
        (["--store", "postgresql://localhost/shop?password=x"], 2, "has a password"),
        (["--store", "mysql://localhost/shop"], 4, "no kind of store"),
        (["--store", 'sqlite:///a"b.db'], 2, "cannot stand in a line of code"),
        (["--app", "shop:app"], 2, "leave it away"),
        (["taken"], 2, "is a file"),
        (["taken/below"], 5, "cannot be written"),
    ],
)
def test_what_cannot_be_is_said(small_shop: Shop, args: list[str], code: int, says: str) -> None:
    (small_shop.folder / "taken").write_text("")
    answer = small_shop.bare("init", *([] if args[0].startswith("taken") else ["new"]), *args)
    assert answer.code == code and says in answer.err, answer
    assert not (small_shop.folder / "new").exists()
    assert "secret" not in answer.err
