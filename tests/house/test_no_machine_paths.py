"""No tracked file names a place of the machine that it was written on."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from devtools.places import ROOT

# Spelt so that this file does not find itself.
HOMES = ["/ho" + r"me/[a-z]", "/ro" + "ot/", "/Use" + r"rs/[A-Za-z]"]

# A clone may stand right below one of these, and a text may name them for good reasons.
EVERYBODYS = {"bin", "etc", "home", "mnt", "opt", "private", "run", "srv", "tmp", "usr", "var"}


def forbidden(root: Path, home: Path) -> re.Pattern[str]:
    """Homes in general, and the home and the folder of clones that we stand in."""
    places = [re.escape(f"{home}/")] if len(home.parts) > 2 else []
    if len(root.parts) > 2 and root.parts[1] not in EVERYBODYS:
        places.append(re.escape(f"{root.parent}/"))
    return re.compile(rf"(?<![\w.~$}}-])(?:{'|'.join([*HOMES, *places])})")


def found_in(files: Iterable[tuple[str, str]], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in files
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def tracked_files() -> list[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("not a git clone")
    files = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (content := path.read_bytes()):
            files.append((name, content.decode(errors="replace")))
    return files


def test_no_tracked_file_names_a_home_or_a_workplace() -> None:
    found = found_in(tracked_files(), forbidden(ROOT, Path.home()))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line", ["see " + "/ho" + "me/ann/notes", "'" + "/ro" + "ot/.cache'", "cd /yard/clone", "x=/where/ann/y"]
)
def test_a_planted_path_is_reported(line: str) -> None:
    pattern = forbidden(Path("/yard/clone"), Path("/where/ann"))
    assert found_in([("a.md", f"fine\n{line}")], pattern) == [f"a.md:2: {line}"]


@pytest.mark.parametrize(
    "line", ["/etc/dutiful", "https://host/home/page", "/var/lib/x", "./yard/clone", "a/yard/x"]
)
def test_other_paths_are_fine(line: str) -> None:
    assert found_in([("a.md", line)], forbidden(Path("/yard/clone"), Path("/where/ann"))) == []
