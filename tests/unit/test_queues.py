"""Queues of a worker: strict and weighted order, and what is no list of queues."""

from __future__ import annotations

import random

import pytest

from dutiful.model.errors import InvalidOption
from dutiful.model.queues import QUEUES_MAX, QueueOrder, parse_queues


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("mail", QueueOrder(("mail",))),
        ("mail,billing", QueueOrder(("mail", "billing"))),
        (" mail , billing ", QueueOrder(("mail", "billing"))),
        ("critical:4,default", QueueOrder(("critical", "default"), (4, 1))),
        ("a,b:2,c", QueueOrder(("a", "b", "c"), (1, 2, 1))),
        ("only:7", QueueOrder(("only",), (7,))),
        ("a.b-c_9", QueueOrder(("a.b-c_9",))),
    ],
)
def test_a_list_of_queues_is_read(text: str, order: QueueOrder) -> None:
    assert parse_queues(text) == order
    assert parse_queues(str(order)) == order


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("a,,b", "comma"),
        ("a,", "comma"),
        ("a,a", "'a' twice"),
        ("a b", "'a b' is no name"),
        ("a=4", "'a:4'"),
        ("a:0", "'0'"),
        ("a:-1", "'-1'"),
        ("a:1.5", "'1.5'"),
        ("a:", "weight of 'a' is ''"),
        ("a:b", "'b'"),
        ("a:1001", "from 1 to 1000"),
        ("a:99999999999999999999", "from 1 to 1000"),
        (":4", "'' is no name"),
        ("*", "'*' is no name"),
        (",".join(f"q{n}" for n in range(QUEUES_MAX + 1)), "at most 1000"),
    ],
)
def test_what_is_no_list_of_queues_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        parse_queues(text)
    assert says in refusal.value.message


def test_a_strict_order_asks_no_chance() -> None:
    def never() -> float:
        raise AssertionError

    assert parse_queues("b,a").order(never) == ["b", "a"]


def test_a_weighted_order_has_every_queue_once_and_the_first_in_proportion() -> None:
    chance = random.Random(7).random
    queues = parse_queues("critical:4,default,low")
    rounds = [queues.order(chance) for _ in range(6000)]
    assert all(sorted(one) == ["critical", "default", "low"] for one in rounds)
    first = sum(one[0] == "critical" for one in rounds) / len(rounds)
    second = sum(one[1] == "default" for one in rounds if one[0] == "critical")
    assert abs(first - 4 / 6) < 0.02
    assert abs(second / sum(one[0] == "critical" for one in rounds) - 1 / 2) < 0.03


def test_the_ends_of_chance_are_no_trouble() -> None:
    queues = parse_queues("a:2,b")
    assert queues.order(lambda: 0.0) == ["a", "b"]
    assert sorted(queues.order(lambda: 1.0 - 2**-53)) == ["a", "b"]
