"""Each rule of the protocol is needed: without it, the invariant that guards it is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.protocol.bounds import Bounds
from tests.protocol.checked import CheckedMachine
from tests.protocol.explore import explored
from tests.protocol.mutants import MUTANTS, Mutant, judge
from tests.protocol.story import told

MUTANTS_MIN = 25


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.weak}-{mutant.expected}")
def test_a_weakened_protocol_is_caught(mutant: Mutant) -> None:
    verdict = judge(mutant)
    assert verdict.caught, told(verdict.found.story, verdict.found.wrong) or "nothing was wrong"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "mutant",
    [mutant for mutant in MUTANTS if isinstance(mutant.bounds, Bounds)],
    ids=lambda mutant: f"{mutant.weak}-{mutant.expected}",
)
def test_the_whole_protocol_is_not(mutant: Mutant) -> None:
    """Within the same bounds: it is the rule that makes the difference. Its steps are all in the table."""
    assert isinstance(mutant.bounds, Bounds)
    result = explored(mutant.weak, CheckedMachine(mutant.bounds))
    assert not result.wrong, f"\n{result.story}"


def test_there_are_enough_of_them() -> None:
    assert len({mutant.weak for mutant in MUTANTS}) >= MUTANTS_MIN


def test_each_invariant_that_is_checked_has_a_mutant() -> None:
    checked = set(re.findall(r'"(I\d+|L\d|S\d): ', "".join(path.read_text() for path in _modules())))
    assert checked == {mutant.expected for mutant in MUTANTS}


def test_each_rule_that_can_be_weakened_is() -> None:
    asked = set(re.findall(r'"(\w+)" (?:not )?in (?:p|self)\.weak', "".join(map(Path.read_text, _modules()))))
    named = {mutant.weak for mutant in MUTANTS}
    assert asked <= named, asked - named


def _modules() -> list[Path]:
    return [path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")]
