"""The names of the package: loaded when they are asked for, and the same ones that a type checker sees."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dutiful


def test_every_name_is_there() -> None:
    for name in dutiful.__all__:
        assert getattr(dutiful, name) is not None
    assert set(dutiful.__all__) <= set(dir(dutiful))


def test_a_type_checker_is_told_the_same() -> None:
    assert dutiful.__file__ is not None
    [checked] = [
        node for node in ast.parse(Path(dutiful.__file__).read_text()).body if isinstance(node, ast.If)
    ]
    seen = {
        alias.name: f".{node.module}"
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == dutiful._HOME_OF
    assert sorted(seen) == sorted(dutiful.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'dutiful' has no attribute 'nothing'"):
        dutiful.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    program = "import sys, dutiful; print(sorted(n for n in sys.modules if n.startswith('dutiful')))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['dutiful']"
