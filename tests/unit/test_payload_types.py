"""Every type that arguments may have: what goes in comes back equal, and what does not fit is refused."""

from __future__ import annotations

import collections
import collections.abc
import io
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dutiful.model.errors import InvalidTask, WrongArgument
from dutiful.model.payload import Codec

T = TypeVar("T")
OrderId = NewType("OrderId", int)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Size(StrEnum):
    S = "s"


class Mixed(Enum):
    A = 1
    B = "b"


class Half(Enum):
    A = 0.5


class Bits(Flag):
    A = 1
    B = 2


@dataclass
class User:
    id: int
    created: datetime
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    price: Decimal


@dataclass
class Admin(User):
    level: int = 1


@dataclass
class Computed:
    x: int
    twice: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.twice = self.x * 2


@dataclass
class Positive:
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("below zero")


@dataclass
class WithInit:
    x: int
    y: InitVar[int] = 0


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)


@dataclass
class Box(Generic[T]):
    item: T
    others: list[T]


@dataclass
class Holder:
    file: io.TextIOWrapper


class Point(msgspec.Struct):
    x: int
    y: float = 0.0


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True):
    order_id: int
    note_text: str = "-"


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True, array_like=False):
    tricks: list[str]


class Sparse(TypedDict, total=False):
    a: Required[int]
    b: str


class Row(TypedDict):
    a: int
    at: datetime
    b: NotRequired[str]


class Pair(NamedTuple):
    left: int
    right: str = ""


Bare = collections.namedtuple("Bare", "left right")


class Address(pydantic.BaseModel):
    city: str


class Person(pydantic.BaseModel):
    name: str
    born: date
    seen: datetime | None = None
    score: float = 0
    home: Address = Address(city="here")
    blob: bytes = b""
    mark: Decimal = Decimal(0)


class Aliased(pydantic.BaseModel):
    order_id: int = pydantic.Field(alias="orderId")
    other: str = pydantic.Field(validation_alias="theOther", serialization_alias="anOther", default="")

    model_config = pydantic.ConfigDict(populate_by_name=True)


class Extra(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Secretive(pydantic.BaseModel):
    password: pydantic.SecretStr


class Excluded(pydantic.BaseModel):
    x: int = pydantic.Field(exclude=True, default=1)


class WithComputed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    x: int

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return self.x * 2


class Child(Person):
    toys: int = 0


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


def codec(annotation: Any) -> Codec:
    def task(x): ...

    task.__annotations__ = {"x": annotation}
    return Codec.of(task, "app.task")


def round_trip(annotation: Any, value: Any) -> Any:
    made = codec(annotation)
    return made.decode(made.encode((value,), {}))["x"]


EXAMPLES: list[tuple[Any, Any]] = [
    (int, 0),
    (int, -1),
    (int, 2**63),
    (int, -(2**63) - 1),
    (int, 2**64),
    (int, 10**30),
    (int, -(10**4000)),
    (str, ""),
    (str, 'ü"\\\n\0 \U0001f600'),
    (float, 1.5),
    (float, 5e-324),
    (float, 1.7976931348623157e308),
    (bool, True),
    (None, None),
    (bytes, b""),
    (bytes, bytes(range(256))),
    (datetime, datetime(2024, 5, 1, 12, 30, 15, 999_999, tzinfo=UTC)),
    (datetime, datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))),
    (datetime, datetime.min.replace(tzinfo=UTC)),
    (datetime, datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
    (datetime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))),
    (date, date(1, 1, 1)),
    (date, date(9999, 12, 31)),
    (time, time(23, 59, 59, 1)),
    (time, time(1, tzinfo=timezone(timedelta(hours=-3)))),
    (timedelta, timedelta(days=-3, microseconds=7)),
    (timedelta, timedelta.max),
    (timedelta, timedelta.min),
    (UUID, UUID(int=5)),
    (Decimal, Decimal("0.10")),
    (Decimal, Decimal("-1E+300")),
    (Decimal, Decimal("123456789012345678901234567890.123456789")),
    (Colour, Colour.RED),
    (Level, Level.HIGH),
    (Size, Size.S),
    (Literal["a", 1, True, None], "a"),
    (Literal["a", 1, True, None], 1),
    (Literal["a", True, None], True),
    (Literal["a", 1, None], None),
    (OrderId, 5),
    (Annotated[int, "a note"], 5),
    (Annotated[int, msgspec.Meta(ge=0)], 5),
    (int | None, None),
    (int | None, 5),
    (int | str, 5),
    (int | str, "5"),
    (int | float, 5),
    (float | int, 10**30),
    (list[float | int], [10**30, 1.5, 2]),
    (int | float, 5.0),
    (bool | int, True),
    (bool | int, 1),
    (datetime | int, datetime(2024, 5, 1, tzinfo=UTC)),
    (typing.Optional[list[int]], [1]),  # noqa: UP045
    (Literal["a"] | int, 3),
    (list, [1, "a", None]),
    (list[int], [1, 2]),
    (list[list[Decimal]], [[Decimal("1.0")], []]),
    (list[int | None], [1, None]),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (tuple, (1, "a")),
    (set[int], {1, 2}),
    (set[UUID], {UUID(int=1), UUID(int=2)}),
    (frozenset[str], frozenset({"a", "b"})),
    (dict, {"a": [1]}),
    (dict[str, int], {"a": 1, "": 2}),
    (dict[int, str], {1: "a", 10**30: "b", -5: "c"}),
    (dict[UUID, int], {UUID(int=1): 1}),
    (dict[date, int], {date(2024, 5, 1): 1}),
    (dict[datetime, int], {datetime(2024, 5, 1, tzinfo=UTC): 1}),
    (dict[Decimal, int], {Decimal("1.50"): 1}),
    (dict[Colour, int], {Colour.RED: 1}),
    (dict[Level, int], {Level.LOW: 1}),
    (dict[Literal["a", "b"], int], {"a": 1}),
    (dict[OrderId, int], {OrderId(3): 1}),
    (dict[str, dict[str, list[date]]], {"a": {"b": [date(2024, 5, 1)]}}),
    (Sequence[int], [1, 2]),
    (Mapping[str, date], {"a": date(2024, 5, 1)}),
    (collections.abc.Set[int], {1, 2}),
    (collections.abc.MutableSequence[int], [1]),
    (collections.abc.Collection[int], [1]),
    (collections.abc.MutableSet[date], {date(2024, 5, 1)}),
    (collections.abc.MutableMapping[str, int], {"a": 1}),
    (Sequence, [1]),
    (Mapping, {"a": 1}),
    (collections.abc.Set, {1}),
    (set, {1}),
    (frozenset, frozenset({"a"})),
    (User, User(1, datetime(2024, 5, 1, tzinfo=UTC), ["a"])),
    (Line, Line("a", Decimal("9.90"))),
    (Admin, Admin(1, datetime(2024, 5, 1, tzinfo=UTC), [], 5)),
    (Computed, Computed(3)),
    (Node, Node("a", [Node("b", [Node("c")]), Node("d")])),
    (Box[int], Box(1, [2, 3])),
    (Box[date], Box(date(2024, 5, 1), [])),
    (list[Box[Line]], [Box(Line("a", Decimal(1)), [])]),
    (Point, Point(1, 2.5)),
    (Renamed, Renamed(1)),
    (Renamed, Renamed(1, "x")),
    (Cat | Dog, Cat(9)),
    (Cat | Dog, Dog(["sit"])),
    (Cat | Dog | None, None),
    (Sparse, {"a": 1}),
    (Sparse, {"a": 1, "b": "x"}),
    (Row, {"a": 1, "at": datetime(2024, 5, 1, tzinfo=UTC)}),
    (Pair, Pair(1, "a")),
    (Bare, Bare(1, ["a"])),
    (list[Pair], [Pair(1), Pair(2, "b")]),
    (Person, Person(name="a", born=date(2000, 1, 1), seen=datetime(2024, 5, 1, tzinfo=UTC), blob=b"x")),
    (Person | None, None),
    (list[Person], [Person(name="a", born=date(2000, 1, 1), mark=Decimal("1.0"))]),
    (dict[str, Address], {"a": Address(city="b")}),
    (Aliased, Aliased(orderId=5, theOther="x")),
    (Extra, Extra(anything=[1, 2])),
    (Numbers, Numbers([1, 2])),
    (WithComputed, WithComputed(x=2)),
    (Page[int], Page[int](items=[1])),
    (Any, {"a": [1, 2.5, None, True, "x", 10**30]}),
    (object, [1]),
]


@pytest.mark.parametrize(("annotation", "value"), EXAMPLES)
def test_what_goes_in_comes_back(annotation, value):
    back = round_trip(annotation, value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(("annotation", "value"), EXAMPLES)
def test_what_goes_in_has_a_hash(annotation, value):
    made = codec(annotation)
    data = made.encode((value,), {})
    assert made.args_hash(data) == made.args_hash(data)


def test_an_offset_is_kept_not_only_the_instant():
    value = datetime(2024, 5, 1, 9, tzinfo=timezone(timedelta(hours=2)))
    assert round_trip(datetime, value).utcoffset() == timedelta(hours=2)


class Loud(str): ...


class Counter(int): ...


class Ratio(float): ...


class Later(datetime): ...


class Day(date): ...


class Span(timedelta): ...


class Money(Decimal): ...


class Blob(bytes): ...


@pytest.mark.parametrize(
    ("annotation", "value", "kind"),
    [
        (float, 5, float),
        (float, Ratio(1.5), float),
        (int, Level.HIGH, int),
        (int, Counter(5), int),
        (str, Size.S, str),
        (str, Loud("a"), str),
        (datetime, Later(2024, 5, 1, tzinfo=UTC), datetime),
        (date, Day(2024, 5, 1), date),
        (timedelta, Span(3), timedelta),
        (Decimal, Money("1.0"), Decimal),
        (bytes, Blob(b"a"), bytes),
        (dict[str, int], collections.OrderedDict(a=1), dict),
        (dict[str, int], collections.defaultdict(int, a=1), dict),
        (Mapping[str, int], MappingProxyType({"a": 1}), dict),
        (Any, Counter(3), int),
    ],
)
def test_a_subclass_comes_back_as_its_base(annotation, value, kind):
    back = round_trip(annotation, value)
    assert back == value
    assert type(back) is kind


@pytest.mark.parametrize("value", [(1, 2), [1, 2]])
def test_an_abstract_sequence_comes_back_as_a_list(value):
    assert round_trip(Sequence[int], value) == [1, 2]


NAIVE = datetime(2024, 5, 1)
AWARE = datetime(2024, 5, 1, tzinfo=UTC)
ODD = timezone(timedelta(minutes=19, seconds=32))
NAN = float("nan")
unset = object.__new__(Line)
object.__setattr__(unset, "sku", "a")
cyclic: list[Any] = []
cyclic.append(cyclic)
deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("annotation", "value", "field", "problem"),
    [
        (int, "1", "x", "is a str, not an int"),
        (int, 1.0, "x", "is a float, not an int"),
        (int, True, "x", "is a bool, not an int"),
        (int, Decimal(1), "x", "is a Decimal, not an int"),
        (float, "1", "x", "is a str, not a float"),
        (float, True, "x", "is a bool, not a float"),
        (float, NAN, "x", "is not a finite number"),
        (float, float("-inf"), "x", "is not a finite number"),
        (float, 2**53 + 1, "x", "is an int that a float cannot hold"),
        (float, 10**400, "x", "is an int that a float cannot hold"),
        (str, b"a", "x", "is a bytes, not a str"),
        (str, None, "x", "is None, not a str"),
        (str, "\ud800", "x", "has text with lone surrogates"),
        (list[str], ["\ud800"], "x", "has text with lone surrogates"),
        pytest.param(int, 10**5000, "x", "cannot be written as JSON", id="immense"),
        (bool, 1, "x", "is an int, not a bool"),
        (bytes, "a", "x", "is a str, not a bytes"),
        (bytes, bytearray(b"a"), "x", "is a bytearray, not a bytes"),
        (None, 0, "x", "is an int, not None"),
        (datetime, NAIVE, "x", "is a datetime without time zone"),
        (datetime, "2024-05-01T00:00:00Z", "x", "is a str, not a datetime"),
        (datetime, date(2024, 5, 1), "x", "is a date, not a datetime"),
        (datetime, datetime(1900, 1, 1, tzinfo=ODD), "x", "has a time zone with seconds"),
        (time, time(1, tzinfo=ODD), "x", "has a time zone with seconds"),
        (time, "01:00", "x", "is a str, not a time"),
        (date, AWARE, "x", "is a datetime, not a date"),
        (timedelta, 5, "x", "is an int, not a timedelta"),
        (UUID, str(UUID(int=1)), "x", "is a str, not an UUID"),
        (Decimal, 1, "x", "is an int, not a Decimal"),
        (Decimal, 1.5, "x", "is a float, not a Decimal"),
        (Decimal, Decimal("NaN"), "x", "is not a finite number"),
        (Decimal, Decimal("sNaN"), "x", "is not a finite number"),
        (Decimal, Decimal("Infinity"), "x", "is not a finite number"),
        (Colour, "red", "x", "is a str, not a Colour"),
        (Level, 1, "x", "is an int, not a Level"),
        (Literal["a", "b"], "c", "x", "is not one of 'a', 'b'"),
        (Literal["a", "b"], 1, "x", "is an int, not one of 'a', 'b'"),
        (Literal[1], True, "x", "is a bool, not 1"),
        (Literal["a"], [], "x", "is a list, not 'a'"),
        (int | None, "5", "x", "is a str, not an int or None"),
        (int | str, 5.0, "x", "is a float, not an int or a str"),
        (float | None, NAN, "x", "is not a finite number"),
        (list[int], (1, 2), "x", "is a tuple, not a list"),
        (list[int], [1, "2"], "x[1]", "is a str, not an int"),
        (list[list[int]], [[1], [2, None]], "x[1][1]", "is None, not an int"),
        (list[datetime], [AWARE, NAIVE], "x[1]", "is a datetime without time zone"),
        (tuple[int, str], [1, "a"], "x", "is a list, not a tuple"),
        (tuple[int, str], (1,), "x", "has 1 items, not 2"),
        (tuple[int, str], (1, 2), "x[1]", "is an int, not a str"),
        (tuple[int, ...], (1, "a"), "x[1]", "is a str, not an int"),
        (tuple[int, ...], [1], "x", "is a list, not a tuple"),
        (set[int], [1], "x", "is a list, not a set"),
        (set[int], frozenset({1}), "x", "is a frozenset, not a set"),
        (dict[str, int], [("a", 1)], "x", "is a list, not a dict"),
        (dict[str, int], {1: 1}, "x", "has a key that is an int, not a str"),
        (dict[str, int], {"a": "b"}, "x['a']", "is a str, not an int"),
        (dict[str, list[int]], {"EUR": [1, None]}, "x['EUR'][1]", "is None, not an int"),
        (dict[int, int], {True: 1}, "x", "has a key that is a bool, not an int"),
        (dict[datetime, int], {NAIVE: 1}, "x", "has a key that is a datetime without time zone"),
        (Sequence[int], "ab", "x", "is a str, not a list or tuple"),
        (Sequence[int], {1}, "x", "is a set, not a list or tuple"),
        (Mapping[str, int], [1], "x", "is a list, not a mapping"),
        (User, User(1, NAIVE), "x.created", "is a datetime without time zone"),
        (User, User("1", AWARE), "x.id", "is a str, not an int"),  # type: ignore[arg-type]
        (User, User(1, AWARE, ["a", 1]), "x.tags[1]", "is an int, not a str"),  # type: ignore[list-item]
        (User, {"id": 1, "created": AWARE}, "x", "is a dict, not an User"),
        (User, Admin(1, AWARE), "x", "is an Admin, not an User"),
        (User | None, User(1, NAIVE), "x.created", "is a datetime without time zone"),
        (list[User], [User(1, AWARE), User(1, NAIVE)], "x[1].created", "is a datetime without time zone"),
        (Node, Node("a", [Node("b", [None])]), "x.children[0].children[0]", "is None, not a Node"),  # type: ignore[list-item]
        (Box[int], Box("a", []), "x.item", "is a str, not an int"),
        (Point, Point("1"), "x.x", "is a str, not an int"),  # type: ignore[arg-type]
        (Cat | Dog, Point(1), "x", "is a Point, not a Cat or a Dog"),
        (Sparse, {}, "x.a", "is missing"),
        (Sparse, {"a": 1, "bb": 2}, "x", "has an unknown key 'bb' (did you mean b?)"),
        (Row, {"a": 1, "at": NAIVE}, "x.at", "is a datetime without time zone"),
        (Row, [], "x", "is a list, not a dict (Row)"),
        (Pair, (1, "a"), "x", "is a tuple, not a Pair"),
        (Pair, Pair(1, 2), "x.right", "is an int, not a str"),  # type: ignore[arg-type]
        (Annotated[int, msgspec.Meta(ge=0)], -1, "x", "is no such value: expected `int` >= 0"),
        (list[Annotated[str, msgspec.Meta(max_length=2)]], ["abc"], "x[0]", "is no such value: expected"),
        (Bare, Bare(1, AWARE), "x.right", "is a datetime, which plain JSON does not keep"),
        (Line, unset, "x.price", "is not set"),
        (Address, {"city": "a"}, "x", "is a dict, not an Address"),
        (Person, Child(name="a", born=date(2000, 1, 1)), "x", "is a Child, not a Person"),
        (Person, Person(name="a", born=date(2000, 1, 1), seen=NAIVE), "x.seen", "is a datetime without"),
        (Person, Person(name="a", born=date(2000, 1, 1), score=NAN), "x.score", "is not a finite number"),
        (Person, Person.model_construct(name="a", born=5, home=None), "x", "cannot be read back"),
        (Extra, Extra(at=[{"a": NAIVE}]), "x.at[0]['a']", "is a datetime without time zone"),
        (Secretive, Secretive(password="s3cret"), "x", "does not come back equal"),  # type: ignore[arg-type]
        (Excluded, Excluded(x=2), "x", "does not come back equal"),
        (Any, (1, 2), "x", "is a tuple, which plain JSON does not keep"),
        (Any, {"a": [AWARE]}, "x['a'][0]", "is a datetime, which plain JSON does not keep"),
        (Any, {1: 2}, "x", "has a key that is an int"),
        (Any, NAN, "x", "is not a finite number"),
        (Any, {"a": {"b": NAN}}, "x['a']['b']", "is not a finite number"),
        (Any, Level.HIGH, "x", "is a Level, which plain JSON"),
        (Any, object(), "x", "is an object, which plain JSON"),
        (Any, cyclic, "x", "is nested too deeply"),
        (Any, deep, "x", "is nested too deeply"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_path(annotation, value, field, problem):
    made = codec(annotation)
    with pytest.raises(WrongArgument) as caught:
        made.encode((value,), {})
    assert (caught.value.field, caught.value.problem[: len(problem)]) == (field, problem)
    assert caught.value.message.startswith("Cannot enqueue app.task: argument x")


def test_a_refusal_does_not_quote_the_value():
    for annotation in (int, datetime, Colour, User, Literal["a"], list[int], Secretive):
        with pytest.raises(WrongArgument) as caught:
            round_trip(annotation, "hunter2")
        assert "hunter2" not in str(caught.value)


def test_a_post_init_that_would_fail_on_a_worker_is_asked_at_enqueue():
    value = Positive(1)
    value.x = -1
    made = codec(Positive)
    with pytest.raises(WrongArgument, match="below zero"):
        made.encode((value,), {})


class Plain: ...


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (Plain, "parameter x is a Plain, a class that JSON cannot carry to a worker; pass its id"),
        (io.TextIOWrapper, "a class that JSON cannot carry"),
        (typing.IO[str], "a class that JSON cannot carry"),
        (Callable[[], int], "a class that JSON cannot carry"),
        (Callable, "a class that JSON cannot carry"),
        (type, "a class that JSON cannot carry"),
        (type[int], "a class that JSON cannot carry"),
        (complex, "a class that JSON cannot carry"),
        (collections.deque, "a class that JSON cannot carry"),
        (Iterable[int], "a class that JSON cannot carry"),
        (Exception, "a class that JSON cannot carry"),
        (list[Plain], "is a Plain"),
        (dict[str, Plain | None], "is a Plain"),
        (Holder, "is a Holder, whose field file is a TextIOWrapper"),
        (list[Holder], "is a Holder, whose field file is a TextIOWrapper"),
        (Loud, "is a Loud, a subclass of str; use a NewType"),
        (Counter, "is a Counter, a subclass of int"),
        (Mixed, "an Enum whose values are not all text or all whole numbers"),
        (Half, "an Enum whose values are not all"),
        (Bits, "is a Flag; pass its value"),
        (Literal[b"a"], "is a Literal of more than"),
        (Literal[Colour.RED], "is a Literal of more than"),
        (WithInit, "a dataclass with an InitVar"),
        (T, "is the type variable ~T"),
        (list[T], "is the type variable ~T"),
        (Box, "is a Box, whose field item is the type variable"),
        (dict[float, int], "has keys that want a float"),
        (dict[tuple[int, int], str], "has keys that want a tuple"),
        (dict[int | str, str], "has keys that want an int or a str"),
        (dict[Literal["a", 1], str], "has keys that want one of"),
        (
            str | datetime,
            "which JSON could not tell apart: Type unions may not contain more than one str-like",
        ),
        (list[int] | set[int], "which JSON could not tell apart"),
        (User | Line, "which JSON could not tell apart"),
        (list[date | UUID], "which JSON could not tell apart"),
        (Address | User, "which JSON could not tell apart"),
    ],
)
def test_an_annotation_that_json_cannot_carry_is_refused_when_declared(annotation, why):
    with pytest.raises(InvalidTask) as caught:
        codec(annotation)
    assert caught.value.message.startswith("app.task: parameter x ")
    assert why in caught.value.message


class Link(pydantic.BaseModel):
    url: pydantic.HttpUrl
    at: datetime | None = None
    note: pydantic.SecretStr | None = None


@pydantic.dataclasses.dataclass
class Validated:
    x: int = pydantic.Field(gt=0)


def test_the_hour_that_is_repeated_when_summer_ends_comes_back():
    at = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    assert round_trip(datetime, at).astimezone(UTC) == at.astimezone(UTC)
    back = round_trip(Link, Link(url="https://a.example", at=at))
    assert back.at.astimezone(UTC) == at.astimezone(UTC) == datetime(2024, 10, 27, 1, 30, tzinfo=UTC)


def test_the_hash_sees_all_of_a_pydantic_model():
    made = codec(Link)
    links = [Link(url=f"https://{name}.example") for name in ("a", "b", "a")]
    hashes = [made.args_hash(made.encode((link,), {})) for link in links]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_pydantic_dataclass_is_a_dataclass():
    assert round_trip(Validated, Validated(5)) == Validated(5)


def test_what_a_pydantic_model_refuses_is_said_in_one_line_and_without_the_value():
    with pytest.raises(WrongArgument) as caught:
        codec(list[Person]).decode(b'{"x":[{"name":"hunter2","born":"hunter2"}]}')
    assert caught.value.field == "x[0]"
    assert caught.value.problem.startswith("is no such value: born: Input should be")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in caught.value.message


def test_a_type_made_of_itself_is_refused():
    space: dict[str, Any] = {}
    if sys.version_info < (3, 12):
        pytest.skip("type statements are new in Python 3.12")
    exec("type Endless = list[Endless]\ntype Short = list[int]", space)
    with pytest.raises(InvalidTask, match="made of itself"):
        codec(space["Endless"])
    assert round_trip(space["Short"], [1]) == [1]


# Round trips of generated values

offsets = [UTC, timezone(timedelta(hours=-5, minutes=-30)), timezone(timedelta(hours=14))]
aware = st.datetimes(timezones=st.sampled_from(offsets))
decimals = st.decimals(allow_nan=False, allow_infinity=False)
texts = st.text()
floats = st.floats(allow_nan=False, allow_infinity=False)
singles = {
    int: st.integers() | st.integers(-(2**70), 2**70),
    str: texts,
    float: floats,
    bool: st.booleans(),
    bytes: st.binary(),
    datetime: aware,
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Decimal: decimals,
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Literal["a", 1]: st.sampled_from(["a", 1]),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers() | floats | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    ),
    User: st.builds(User, st.integers(), aware, st.lists(texts, max_size=3)),
    Line: st.builds(Line, texts, decimals),
    Point: st.builds(Point, st.integers(), floats),
    Pair: st.builds(Pair, st.integers(), texts),
    Row: st.fixed_dictionaries({"a": st.integers(), "at": aware}, optional={"b": texts}),
    Person: st.builds(
        Person,
        name=texts,
        born=st.dates(),
        seen=st.none() | aware,
        score=floats,
        blob=st.just(b"x"),
        mark=decimals,
    ),
}
hashable = [int, str, bool, bytes, date, datetime, timedelta, UUID, Decimal, Colour, Line, float]
keys = [int, str, date, UUID, Decimal, Colour, datetime]


@st.composite
def typed(draw, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """An annotation, and the values that fit it."""
    shapes = ["single", "list", "tuple", "set", "frozenset", "dict", "optional", "fixed", "box"]
    shape = draw(st.sampled_from(shapes if depth else ["single"]))
    if shape == "single":
        kind = draw(st.sampled_from(list(singles)))
        return kind, singles[kind]
    if shape in ("set", "frozenset"):
        kind = draw(st.sampled_from(hashable))
        if shape == "set":
            return set[kind], st.sets(singles[kind], max_size=3)
        return frozenset[kind], st.frozensets(singles[kind], max_size=3)
    kind, values = draw(typed(depth - 1))
    if shape == "list":
        return list[kind], st.lists(values, max_size=3)
    if shape == "tuple":
        return tuple[kind, ...], st.lists(values, max_size=3).map(tuple)
    if shape == "dict":
        key = draw(st.sampled_from(keys))
        return dict[key, kind], st.dictionaries(singles[key], values, max_size=3)
    if shape == "optional":
        return typing.Optional[kind], st.none() | values  # noqa: UP045
    if shape == "box" and isinstance(kind, type):
        return Box[kind], st.builds(Box, values, st.lists(values, max_size=2))
    return tuple[kind, int], st.tuples(values, st.integers())


@settings(max_examples=200)
@given(st.data())
def test_any_value_of_any_annotation_comes_back(data):
    annotation, values = data.draw(typed())
    made = codec(annotation)
    value = data.draw(values)
    stored = made.encode((value,), {})
    back = made.decode(stored)["x"]
    assert back == value
    assert type(back) is type(value)
    assert made.encode((back,), {}) == stored or "set" in repr(annotation)
    assert made.args_hash(made.encode((back,), {})) == made.args_hash(stored)


@settings(max_examples=200)
@given(st.data())
def test_any_value_for_any_annotation_comes_back_or_is_refused(data):
    """No third way: what is let through comes back equal, whatever was annotated."""
    annotation, _ = data.draw(typed())
    _, values = data.draw(typed())
    value = data.draw(values)
    made = codec(annotation)
    try:
        stored = made.encode((value,), {})
    except WrongArgument as error:
        assert error.field.startswith("x")
        return
    assert made.decode(stored)["x"] == value
