"""What is copied into the house from elsewhere is what its makers published, and says under which licence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from devtools.places import ROOT

FOLDERS = (ROOT / "src/dutiful/web/static/vendor", ROOT / "tests/web/vendor")
SUMS = "SHA256SUMS"


def wrongs(folder: Path) -> list[str]:
    """Files that are not as the list says, or that it does not name."""
    listed = dict(
        reversed(line.split("  ", 1)) for line in (folder / SUMS).read_text("utf-8").splitlines() if line
    )
    found = [name for name in listed if not (folder / name).exists()]
    for path in sorted(folder.iterdir()):
        if path.name == SUMS:
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() != listed.get(path.name):
            found.append(path.name)
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parts[-3])
def test_vendored_files_are_as_they_were_published(folder: Path) -> None:
    assert wrongs(folder) == []
    assert any(path.name.endswith("LICENSE") for path in folder.iterdir())


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    for path in FOLDERS[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "htmx.min.js").write_bytes(b"// not it")
    assert wrongs(tmp_path) == ["htmx.min.js"]
