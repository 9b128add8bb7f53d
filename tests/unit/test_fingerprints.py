"""Two deaths with one cause have one fingerprint, and two causes two."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from dutiful import App
from dutiful.model.fingerprints import fingerprint, masked, own_fingerprint
from dutiful.model.jobs import Lease
from dutiful.worker.run import death_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 17 is gone", "order 4,711.5 is gone"),
        ("no such user 'ann'", 'no such user "bob o\'brien"'),
        ("key 6f9619ff-8b86-d011-b42d-00c04fc964ff", "key 00000000-0000-7000-8000-00000000000f"),
        ("at 0x7f3a and deadbeef01", "at 0x1 and 0123456789abcdef"),
        ("a\n  b", "a b"),
    ],
)
def test_what_differs_from_death_to_death_is_masked(one: str, other: str) -> None:
    assert masked(one) == masked(other)


def test_what_is_another_cause_is_not_masked() -> None:
    assert masked("connection refused") != masked("connection reset")
    assert len(masked("x" * 10_000)) == 200


def where(number: int) -> None:
    raise ValueError(f"order {number} is gone")


def elsewhere(number: int) -> None:
    raise ValueError(f"order {number} is gone")


def cause(body: Callable[[int], None], number: int, task: str = "t") -> str:
    try:
        body(number)
    except ValueError as error:
        return fingerprint(task, "ValueError", str(error), error.__traceback__)
    raise AssertionError("unreachable")


def test_the_place_and_the_task_belong_to_the_cause() -> None:
    assert cause(where, 1) == cause(where, 222)
    assert len({cause(where, 1), cause(elsewhere, 1), cause(where, 1, "u")}) == 3
    assert len(cause(where, 1)) == 16


def test_a_task_may_name_its_causes_itself(caplog: pytest.LogCaptureFixture) -> None:
    app = App("shop", "sqlite:///:memory:")

    @app.task(fingerprint=lambda error: f"shard {error.args[0]}")
    def send() -> None: ...

    lease = Lease("1", 1, 1, "t", 1, 1, 0, 1, 1, send.name, None, b"{}", 0, 0)
    assert death_of(send, lease, ValueError(7)).fingerprint == f"{send.name}:shard 7"
    with caplog.at_level(logging.WARNING):
        usual = death_of(send, lease, ValueError()).fingerprint
    assert usual is not None and len(usual) == 16 and "fingerprint_failed" in caplog.text
    assert own_fingerprint("t", 3) is own_fingerprint("t", " ") is None
