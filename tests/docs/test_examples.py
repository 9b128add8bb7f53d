"""Every Python block of the documentation runs, page by page; every command in it exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, kind: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text("utf-8")) if language == kind]


def named(pages: list[Path]) -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


@pytest.mark.parametrize("page", named([page for page in PAGES if blocks(page, "python")]))
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(blocks(page, "python")), "utf-8")
    done = subprocess.run(
        [sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("program", named(sorted((ROOT / "examples").glob("*.py"))))
def test_an_example_runs(program: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def commands() -> list[str]:
    found = set()
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if line.startswith("$ dutiful "):
                    found.add(line.removeprefix("$ dutiful ").split("#")[0].strip())
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_docs_is_understood(command: str) -> None:
    """Its subcommand and each of its options are in that command's help."""
    words = command.split()
    names = []
    for word in words:
        if word.startswith("-") or not word.isalpha() or not word.islower():
            break
        names.append(word)
    done = subprocess.run(
        [sys.executable, "-m", "dutiful", *names, "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("-")):
        assert option in done.stdout, f"dutiful {' '.join(names)} has no {option}"


def test_the_readmes_quick_start_runs_with_a_real_worker(tmp_path: Path) -> None:
    code = blocks(ROOT / "README.md", "python")[0]
    (tmp_path / "jobs.py").write_text(code, "utf-8")
    python = sys.executable
    worker = subprocess.run(
        [python, "-m", "dutiful", "worker", "jobs:app", "--until-empty"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert worker.returncode == 0, worker.stderr
    assert "sending the receipt of order 42" in worker.stdout
    listed = subprocess.run(
        [python, "-m", "dutiful", "job", "list", "--app", "jobs:app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert listed.returncode == 0 and "done" in listed.stdout, listed.stdout + listed.stderr


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_tests_that_the_pages_name_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"`(tests/[\w./]+)`", page.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{page.relative_to(ROOT)} names {path}, which does not exist"
