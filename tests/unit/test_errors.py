"""Errors: the tree that is drawn is the tree that there is, and each says what to do."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from dutiful.model import errors
from dutiful.model.errors import DutifulError, all_errors

OURS = [kind for kind in all_errors() if kind.__module__.startswith("dutiful.")]

FIELDS = {
    "task": "app.send",
    "field": "user.created",
    "problem": "is a datetime without time zone",
    "what": "The arguments of app.send",
    "size_bytes": 70_000,
    "limit_bytes": 65_536,
    "key": "receipt:42",
    "job_id": "0190163d-8694-739b-aea5-966c26f8ad91",
    "scope": "stripe",
    "name": "import",
    "grant_no": 7,
    "why": "its lease has run out",
    "asked": 3,
    "found": 2,
    "holder": "0190163d-8694-739b-aea5-966c26f8ad92",
    "run_no": 7,
    "verb": "retry",
    "state": "ready",
    "allowed": "dead",
    "message": "something went wrong",
    "who": "ann",
    "permission": "retry",
    "now": "running on worker 3 since 2s",
    "missing": ("its worker is not proven dead",),
}


def made(kind: type[DutifulError]) -> DutifulError:
    """An instance, from whatever its signature asks for."""
    asked = inspect.signature(kind).parameters.values()
    by_name = {one.name: FIELDS[one.name] for one in asked if one.default is one.empty}
    return kind(**by_name)


def drawn() -> dict[str, str]:
    """Each class of the drawing, and the class above it."""
    above: dict[str, str] = {}
    branch: list[str] = []
    for line in inspect.getdoc(errors).splitlines():
        found = re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)", line)
        if found:
            depth = len(found[1]) // 4
            branch[depth:] = [found[2]]
            above[found[2]] = branch[depth - 1] if depth else "Exception"
    return above


def test_the_drawing_in_the_docstring_is_the_tree():
    assert drawn() == {kind.__name__: kind.__base__.__name__ for kind in OURS}


def test_the_drawing_shows_the_families_codes():
    for name, digit in re.findall(r"(\w+Error) .* DE(\d)xx", errors.__doc__):
        family = getattr(errors, name)
        assert all(kind.code.startswith(f"DE{digit}") for kind in all_errors(family))


def test_every_error_of_the_module_is_in_the_tree():
    found = {value for value in vars(errors).values() if inspect.isclass(value)}
    assert {kind for kind in found if issubclass(kind, Exception)} == set(OURS)


def test_codes_are_unique():
    codes = [kind.__dict__["code"] for kind in OURS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"DE\d{3}", code) for code in codes)


@pytest.mark.parametrize("kind", OURS)
class TestEach:
    def test_has_a_docstring_of_its_own(self, kind):
        assert kind.__dict__.get("__doc__"), kind

    def test_says_one_sentence_and_then_the_hint(self, kind):
        error = made(kind)
        assert error.message
        assert "\n" not in error.message
        assert str(error) == (f"{error.message}\n  {error.hint}" if error.hint else error.message)

    def test_survives_pickling_and_copying(self, kind):
        error = made(kind)
        error.hint = "Do this."
        error.add_note("seen in a test")
        for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(back) is kind
            assert (str(back), back.args, back.code) == (str(error), error.args, error.code)
            assert vars(back) == vars(error)


def test_a_hint_can_be_given_and_can_be_empty():
    assert str(DutifulError("It broke.", hint="Mend it.")) == "It broke.\n  Mend it."
    assert str(errors.InvalidDuration("No.", hint="")) == "No."
    assert errors.InvalidDuration.hint in str(errors.InvalidDuration("No."))
