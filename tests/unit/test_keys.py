"""Key templates: checked when declared, rendered without ambiguity, the same for ever."""

from __future__ import annotations

import re
import string
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dutiful.model.errors import InvalidOption, InvalidTemplate
from dutiful.model.keys import (
    KEY_CHARS_MAX,
    Template,
    checked_key,
    decimal_text,
    effect_key,
    instant_text,
)

PARAMETERS = ("order_id", "customer", "day", "x", "y", "z")


class Size(StrEnum):
    SMALL = "s"


class Level(IntEnum):
    HIGH = 3


class Plain(Enum):
    ONE = 1


def rendered(text: str, **arguments):
    return Template.parse(text, PARAMETERS).render(arguments)


def refused(text: str, parameters=PARAMETERS, what: str = "once") -> InvalidTemplate:
    with pytest.raises(InvalidTemplate) as caught:
        Template.parse(text, parameters, what=what)
    assert caught.value.message.startswith(f"{what}={text!r}")
    return caught.value


@pytest.mark.parametrize(
    ("text", "arguments", "key"),
    [
        ("receipt:{order_id}", {"order_id": 42}, "receipt:42"),
        ("{order_id}", {"order_id": "a:b%/ü"}, "a:b%/ü"),
        ("nightly", {}, "nightly"),
        ("{{{x}}}", {"x": 1}, "{1}"),
        ("{x}:{y}", {"x": "a:b", "y": "c"}, "a%3Ab:c"),
        ("{x}:{y}", {"x": "a", "y": "b:c"}, "a:b%3Ac"),
        ("{x}:{y}", {"x": "50%", "y": "a b"}, "50%25:a b"),
        ("{x} / {y}", {"x": "a b", "y": "c/d"}, "a%20b / c%2Fd"),
        ("{x}→{y}", {"x": "a→b", "y": "c"}, "a%E2%86%92b→c"),
        ("a-{x}:{y}-b", {"x": "1-2", "y": "3"}, "a-1-2:3-b"),
        ("{x}:and:{y}", {"x": "a:", "y": "and"}, "a%3A:and:and"),
        ("{x.id}", {"x": namedtuple("T", "id")(7)}, "7"),
        ("{x[id]}", {"x": {"id": 7}}, "7"),
        ("{x[0]}-{x[1]}", {"x": [5, 6]}, "5-6"),
        ("{x[0]}", {"x": {0: "a"}}, "a"),
        ("{x[0]}", {"x": {"0": "b"}}, "b"),
        ("{x[a b].y[0]}", {"x": {"a b": namedtuple("T", "y")((9,))}}, "9"),
    ],
)
def test_a_template_renders(text, arguments, key):
    assert rendered(text, **arguments) == key


GOLDEN = [
    ("plain", "plain"),
    ("", ""),
    (0, "0"),
    (-5, "-5"),
    (10**30, "1" + "0" * 30),
    (True, "true"),
    (False, "false"),
    (Size.SMALL, "s"),
    (Level.HIGH, "3"),
    (Plain.ONE, "1"),
    (1.0, "1"),
    (-0.0, "0"),
    (1.5, "1.5"),
    (0.1, "0.1"),
    (1e-7, "1e-07"),
    (1e16, "10000000000000000"),
    (Decimal("1"), "1"),
    (Decimal("1.00"), "1"),
    (Decimal("1E+2"), "100"),
    (Decimal("-0.00"), "0"),
    (Decimal("0.50"), "0.5"),
    (Decimal("-12.340"), "-12.34"),
    (Decimal("1E+99"), "1E+99"),
    (Decimal("1.5E-99"), "15E-100"),
    (UUID("0190163D8694739BAEA5966C26F8AD91"), "0190163d-8694-739b-aea5-966c26f8ad91"),
    (date(2024, 2, 29), "2024-02-29"),
    (datetime(2024, 5, 1, 9, 30, tzinfo=UTC), "2024-05-01T09:30:00Z"),
    (datetime(2024, 5, 1, 9, 30, 0, 1, tzinfo=UTC), "2024-05-01T09:30:00.000001Z"),
    (datetime(1, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "0001-01-01T01:00:00+02:00"),
    (datetime(2024, 5, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), "2024-04-30T23:30:00Z"),
]


@pytest.mark.parametrize(("value", "text"), GOLDEN)
def test_a_value_has_its_text_for_ever(value, text):
    assert rendered("k{x}", x=value) == f"k{text}"


def test_a_subclass_of_text_or_number_has_the_text_of_its_base():
    class Loud(str):
        def __str__(self):
            return "LOUD"

    class Odd(int):
        def __repr__(self):
            return "odd"

    assert rendered("{x}:{y}", x=Loud("a"), y=Odd(3)) == "a:3"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is None"),
        (datetime(2024, 5, 1), "without time zone"),
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        (Decimal("NaN"), "not a finite number"),
        (Decimal("-Infinity"), "not a finite number"),
        ([1], "is a list"),
        ({"a": 1}, "is a dict"),
        (b"a", "is a bytes"),
        (time(1), "is a time"),
        (timedelta(1), "is a timedelta"),
        (object(), "use a field of it"),
    ],
)
def test_what_has_no_stable_text_is_refused(value, why):
    with pytest.raises(InvalidOption, match=why) as caught:
        rendered("receipt:{x}", x=value)
    assert caught.value.message.startswith("once='receipt:{x}': x ")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("{x}", {}),
        ("{x.id}", {"x": 1}),
        ("{x[id]}", {"x": {}}),
        ("{x[id]}", {"x": 1}),
        ("{x[id]}", {"x": [1]}),
        ("{x[3]}", {"x": [1]}),
    ],
)
def test_a_value_that_is_not_there_is_refused_by_name(text, arguments):
    with pytest.raises(InvalidOption, match=re.escape(f"{text[1:-1]} is not in the arguments")):
        rendered(text, **arguments)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("receipt:{order}", "did you mean order_id?"),
        ("{q}", "known: order_id"),
        ("{}", "is no argument"),
        ("{0}", "is no argument"),
        ("{x!r}", "has a format"),
        ("{x:>10}", "has a format"),
        ("{x", "cannot be read"),
        ("x}", "cannot be read"),
        ("{x.}", "is no argument"),
        ("{x[]}", "is no argument"),
        ("{x. y}", "is no argument"),
        ("{x.__class__}", "private"),
        ("{x._hidden}", "private"),
        ("{x}{y}", "without punctuation"),
        ("{x}and{y}", "without punctuation"),
        ("{x}%{y}", "without punctuation"),
        ("{x}:{y}{z}", "without punctuation"),
        ("", "at least one character"),
    ],
)
def test_a_template_that_cannot_work_is_refused(text, why):
    assert why in refused(text).message


def test_a_template_of_a_task_without_arguments_says_so():
    assert "there are none" in refused("{x}", parameters=()).message


def test_the_option_is_named():
    assert refused("{q}", what="order").message.startswith("order=")


@dataclass
class Order:
    order_id: int
    customer: Customer


class Customer(msgspec.Struct):
    number: int

    @property
    def label(self) -> str:
        return f"c{self.number}"


class Row(TypedDict):
    order_id: int


class Pair(NamedTuple):
    left: int


class Model(pydantic.BaseModel):
    order_id: int


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Order, "{x.order_id}", "{x.ordr_id}"),
        (Order, "{x.customer.number}", "{x.customer.numbr}"),
        (Order, "{x.customer.label}", "{x.customer.lable}"),
        (Row, "{x[order_id]}", "{x[ordr_id]}"),
        (Pair, "{x.left}", "{x.lft}"),
        (Model, "{x.order_id}", "{x.ordr_id}"),
        (int, "{x.real}", None),
        (dict, "{x[anything]}", None),
        (None, "{x.anything}", None),
    ],
)
def test_fields_of_annotated_classes_are_checked_too(annotation, good, bad):
    Template.parse(good, {"x": annotation})
    if bad is not None:
        assert "did you mean" in refused(bad, {"x": annotation}).message


def test_a_long_key_is_refused_and_the_longest_is_not():
    assert len(rendered("{x}", x="a" * KEY_CHARS_MAX)) == KEY_CHARS_MAX
    with pytest.raises(InvalidOption, match="513 characters; the limit is 512"):
        rendered("{x}", x="a" * (KEY_CHARS_MAX + 1))


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", None, 5])
def test_a_key_that_cannot_be_stored_is_refused(key):
    with pytest.raises(InvalidOption):
        checked_key(key)


def test_a_key_given_whole_stands_as_it_is():
    assert checked_key("receipt:42 ü") == "receipt:42 ü"


def test_a_key_that_came_out_empty_is_refused():
    with pytest.raises(InvalidOption, match="at least one character"):
        rendered("{x}", x="")


# Two different pairs of values of the same types never make one key.

SEPARATORS = [":", "-", "/", "%:", " and ", "→", "a:b", "::", ".", "=", "+", "T:"]
texts = st.text(st.sampled_from("ab:%-/ 3A→T.=+\n"), max_size=6) | st.text(max_size=5)
offsets = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5))])
of_one_type = st.one_of(
    st.tuples(texts, texts, texts, texts),
    st.tuples(*[st.integers()] * 4),
    st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4),
    st.tuples(*[st.decimals(allow_nan=False, allow_infinity=False)] * 4),
    st.tuples(*[st.datetimes(timezones=offsets)] * 4),
    st.tuples(*[st.dates()] * 4),
    st.tuples(texts, st.integers(), texts, st.integers()),
    st.tuples(st.datetimes(timezones=st.just(UTC)), texts, st.datetimes(timezones=st.just(UTC)), texts),
    st.tuples(st.decimals(allow_nan=False, allow_infinity=False), texts) .flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.just(pair[0]), texts)
    ),
)  # fmt: skip


@given(of_one_type, st.sampled_from(SEPARATORS))
def test_two_keys_are_equal_only_if_the_values_are(values, separator):
    a, b, c, d = values
    template = Template.parse("{x}" + separator + "{y}", PARAMETERS)
    try:
        one, two = template.render({"x": a, "y": b}), template.render({"x": c, "y": d})
    except InvalidOption:
        assume(False)
    assert (one == two) == ((a, b) == (c, d))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_decimal_is_its_value(value):
    assert Decimal(decimal_text(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4), st.integers(0, 5))
def test_zeros_at_the_end_of_a_decimal_do_not_matter(value, zeros):
    sign, digits, exponent = value.as_tuple()
    longer = Decimal((sign, digits + (0,) * zeros, exponent - zeros))
    assert decimal_text(longer) == decimal_text(value)


@given(st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.timezones()))
def test_the_text_of_an_instant_is_the_instant(value):
    text = instant_text(value)
    assert datetime.fromisoformat(text) == value.astimezone(UTC)
    assert text.endswith("Z")


@given(st.text(string.printable + "é{}", max_size=20))
def test_any_text_is_a_template_or_refused(text):
    try:
        Template.parse(text, PARAMETERS)
    except InvalidTemplate as error:
        assert error.code == "DE102"


# The idempotency key of an effect


def test_an_effect_key_is_the_same_for_ever():
    assert effect_key("shop.charge", "order:42", "stripe") == "504e68083a96e79d17bbc42a49a0ea7a"


texts_of_any_kind = st.text(st.characters(), max_size=8)


@given(*[st.tuples(texts_of_any_kind, texts_of_any_kind, texts_of_any_kind)] * 2)
def test_effect_keys_are_equal_only_if_all_three_are(one, two):
    assert (effect_key(*one) == effect_key(*two)) == (one == two)
    assert re.fullmatch("[0-9a-f]{32}", effect_key(*one))


def test_where_the_three_are_cut_matters():
    cuts = {effect_key("a", "b", "cd"), effect_key("a", "bc", "d"), effect_key("ab", "c", "d")}
    framed = {effect_key("1:a", "", ""), effect_key("1", "a", ""), effect_key("", "1:a", "")}
    assert len(cuts | framed) == 6
