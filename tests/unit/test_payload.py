"""Arguments to JSON and back: how a call is bound, what is stored, what comes back, what is hashed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pydantic
import pytest

from dutiful.model.errors import InvalidTask, PayloadTooLarge, RunError, WrongArgument
from dutiful.model.payload import (
    ARGS_BYTES_MAX,
    RESULT_BYTES_MAX,
    Codec,
    decode_result,
    encode_result,
)

FUTURE = "from __future__ import annotations\n"


class Run: ...


class Transaction: ...


INJECTED = (Run, Transaction)


def codec(function, **options) -> Codec:
    return Codec.of(function, f"app.{function.__name__}", INJECTED, **options)


def send(order_id: int, note: str = "", *, urgent: bool = False, run: Run) -> None: ...


def bill(order_id: int, cents: int): ...


SEND, BILL = codec(send), codec(bill)


# Binding a call


@pytest.mark.parametrize(
    ("args", "kwargs", "stored"),
    [
        ((1,), {}, {"order_id": 1}),
        ((), {"order_id": 1}, {"order_id": 1}),
        ((1, "x"), {}, {"order_id": 1, "note": "x"}),
        ((1,), {"note": "x"}, {"order_id": 1, "note": "x"}),
        ((), {"urgent": True, "note": "x", "order_id": 1}, {"order_id": 1, "note": "x", "urgent": True}),
        ((1,), {"note": ""}, {"order_id": 1, "note": ""}),
    ],
)
def test_a_call_is_stored_by_name_in_the_order_of_the_parameters(args, kwargs, stored):
    data = SEND.encode(args, kwargs)
    assert data == json.dumps(stored, separators=(",", ":")).encode()
    assert SEND.decode(data) == stored
    assert list(SEND.decode(data)) == list(stored)


@pytest.mark.parametrize(
    ("args", "kwargs", "field", "problem"),
    [
        ((), {}, "order_id", "is missing; the task takes order_id, note, urgent"),
        ((), {"note": "x"}, "order_id", "is missing"),
        ((1, "x", True), {}, "no. 3", "is one too many; the task takes order_id, note, urgent"),
        ((1,), {"order_id": 1}, "order_id", "is given twice"),
        ((1,), {"nota": "x"}, "nota", "is unknown (did you mean note?)"),
        ((), {"oder_id": 1}, "oder_id", "is unknown (did you mean order_id?)"),
        ((1,), {"q": "x"}, "q", "is unknown (known: order_id, note, urgent)"),
        ((1,), {"run": None}, "run", "is filled in by the worker"),
        (("1",), {}, "order_id", "is a str, not an int"),
        ((True,), {}, "order_id", "is a bool, not an int"),
        ((None,), {}, "order_id", "is None, not an int"),
        ((1, None), {}, "note", "is None, not a str"),
        ((1,), {"urgent": 1}, "urgent", "is an int, not a bool"),
    ],
)
def test_a_wrong_call_is_refused_with_the_field_named(args, kwargs, field, problem):
    with pytest.raises(WrongArgument) as caught:
        SEND.encode(args, kwargs)
    error = caught.value
    assert (error.task, error.field) == ("app.send", field)
    assert error.problem.startswith(problem)
    assert error.message == f"Cannot enqueue app.send: argument {field} {error.problem}."


def test_a_misspelt_name_is_reported_before_what_is_missing_for_it():
    with pytest.raises(WrongArgument, match="did you mean cents"):
        BILL.encode((1,), {"cnts": 5})


def test_a_task_without_arguments():
    def nightly(run: Run) -> None: ...

    none = codec(nightly)
    assert none.encode((), {}) == b"{}"
    assert none.decode(b"{}") == {}
    with pytest.raises(WrongArgument, match=r"no\. 1 is one too many; the task takes nothing"):
        none.encode((1,), {})
    with pytest.raises(WrongArgument, match="there are none"):
        none.encode((), {"x": 1})


# Defaults


def test_an_optional_argument_that_is_not_given_is_not_stored_and_follows_the_code():
    def before(x: int, speed: str = "slow"): ...
    def after(x: int, speed: str = "fast", extra: int | None = None): ...

    data = Codec.of(before, "t").encode((1,), {})
    new = Codec.of(after, "t")
    assert data == b'{"x":1}'
    assert new.with_defaults(new.decode(data)) == {"x": 1, "speed": "fast", "extra": None}


def test_defaults_are_filled_in_for_keys_only():
    bound = SEND.bind((1,), {"urgent": True})
    assert bound == {"order_id": 1, "urgent": True}
    assert SEND.with_defaults(bound) == {"order_id": 1, "note": "", "urgent": True}


def test_a_default_may_be_what_no_caller_could_give():
    nothing = object()

    def task(x: int = nothing, y: int = None): ...  # type: ignore[assignment]  # noqa: RUF013

    odd = Codec.of(task, "t")
    assert odd.encode((), {}) == b"{}"
    assert odd.with_defaults({}) == {"x": nothing, "y": None}
    with pytest.raises(WrongArgument, match="is None, not an int"):
        odd.encode((), {"y": None})


# What a signature says


def test_the_parts_of_a_signature():
    assert SEND.injected == {"run": Run}
    assert SEND.parameters == {"order_id": int, "note": str, "urgent": bool}
    assert SEND.defaults == {"note": "", "urgent": False}
    assert SEND.returns is type(None)
    assert BILL.returns is Any


def test_injected_parameters_may_stand_anywhere_and_be_optional():
    def task(run: Run, x: int, tx: Transaction | None = None, *, other: Run | None = None): ...

    mixed = codec(task)
    assert mixed.injected == {"run": Run, "tx": Transaction, "other": Run}
    assert mixed.encode((5,), {}) == b'{"x":5}'


async def asynchronous(x: int) -> str: ...


def test_async_functions_and_what_they_return():
    assert codec(asynchronous).returns is str


def test_unannotated_parameters_take_any_json():
    def loose(a, b=None): ...

    value = {"a": [1, 2.5, "x", None, True, {"b": []}]}
    data = Codec.of(loose, "t").encode((value,), {})
    assert Codec.of(loose, "t").decode(data) == {"a": value}


def test_local_names_help_to_resolve_annotations():
    @dataclass
    class Local:
        x: int

    def task(local: Local): ...

    with pytest.raises(InvalidTask, match="name 'Local' is not defined") as caught:
        Codec.of(task, "t")
    assert "TYPE_CHECKING" in caught.value.hint
    known = Codec.of(task, "t", names=locals())
    assert known.decode(known.encode((Local(1),), {})) == {"local": Local(1)}


def test_an_injected_type_that_only_the_type_checker_imports_is_known_by_name():
    space: dict[str, Any] = {}
    exec(FUTURE + "def task(x: int, run: Job, tx: Other | None = None): ...", space)
    job, other = type("Job", (), {}), type("Other", (), {})
    made = Codec.of(space["task"], "t", [job, other])
    assert made.injected == {"run": job, "tx": other}


def test_a_name_of_the_functions_own_module_wins_over_an_injected_one():
    space: dict[str, Any] = {"Job": int}
    exec(FUTURE + "def task(run: Job): ...", space)
    made = Codec.of(space["task"], "t", [type("Job", (), {})])
    assert made.injected == {}
    assert made.parameters == {"run": int}


def test_what_a_function_returns_need_not_be_resolvable():
    space: dict[str, Any] = {}
    exec(FUTURE + "def task(x: int) -> Unknown: ...", space)
    assert Codec.of(space["task"], "t").returns is Any


def starred(*orders: int): ...
def double_starred(**orders: int): ...
def positional_only(x: int, /): ...
def method(self, x: int): ...
def unresolvable(x: "Nowhere"): ...  # noqa: F821, UP037


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (starred, r"parameter \*orders takes any number"),
        (double_starred, r"parameter \*\*orders takes any number"),
        (positional_only, "parameter x is positional-only"),
        (method, "looks like a method"),
        (unresolvable, "cannot be resolved: name 'Nowhere'"),
        (5, "cannot be read"),
    ],
)
def test_a_function_that_no_stored_job_can_call_is_refused(function, why):
    with pytest.raises(InvalidTask, match=why) as caught:
        Codec.of(function, "app.task")
    assert caught.value.message.startswith("app.task: ")


# Size


def test_arguments_above_the_limit_are_refused_and_those_at_the_limit_are_not():
    def task(text): ...

    whole = Codec.of(task, "app.task")
    room = ARGS_BYTES_MAX - len('{"text":""}')
    assert len(whole.encode(("x" * room,), {})) == ARGS_BYTES_MAX
    with pytest.raises(PayloadTooLarge, match=r"The arguments of app\.task take 65,537 bytes") as caught:
        whole.encode(("x" * (room + 1),), {})
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (ARGS_BYTES_MAX + 1, ARGS_BYTES_MAX)


def test_the_limit_counts_bytes_not_characters():
    def task(text): ...

    with pytest.raises(PayloadTooLarge):
        Codec.of(task, "t").encode(("ü" * 40_000,), {})


# Reading what another version of the code has stored

TEXT_FOR_INT = "argument cents is no such value: expected `int`, got `str`"


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        (b'{"order_id":1}', "cents", "argument cents is missing"),
        (b'{"order_id":1,"cents":2,"tax":3}', "tax", "argument tax is unknown to this version"),
        (
            b'{"order_id":1,"cents":"2"}',
            "cents",
            TEXT_FOR_INT,
        ),
        (b'{"order_id":1,"cents":2', "", "input data was truncated"),
        (b"[]", "", "expected `object`, got `array`"),
        (b"", "", "input data was truncated"),
        (
            b'{"order_id":1,"cents":"\xff"}',
            "cents",
            TEXT_FOR_INT,
        ),
    ],
)
def test_what_this_version_cannot_read_is_refused_with_the_field_named(data, field, message):
    with pytest.raises(WrongArgument) as caught:
        BILL.decode(data)
    assert (caught.value.task, caught.value.field) == ("app.bill", field)
    assert caught.value.message.startswith(f"Cannot read the stored arguments of app.bill: {message}")


@dataclass
class User:
    id: int
    created: datetime


def greet(users: list[User]): ...


def test_what_cannot_be_read_is_named_by_its_path():
    with pytest.raises(WrongArgument) as caught:
        codec(greet).decode(b'{"users":[{"id":1,"created":"soon"}]}')
    assert caught.value.field == "users[0].created"
    with pytest.raises(WrongArgument) as caught:
        codec(greet).decode(b'{"users":[{"id":1}]}')
    assert (caught.value.field, caught.value.problem) == ("users[0].created", "is missing")


# The hash of the arguments


def hashes(function, *calls):
    made = Codec.of(function, "t")
    return [made.args_hash(made.encode(args, kwargs)) for args, kwargs in calls]


def many(a: int = 1, b: dict[str, int] | None = None, c: set[str] | None = None, d: Any = None): ...
def instants(at: datetime, amount: Decimal = Decimal("1.00"), ratio: float = 0.5): ...


def test_arguments_that_equal_the_defaults_hash_as_if_not_given():
    one, two, three = hashes(many, ((), {}), ((1,), {}), ((1, None), {"c": None}))
    assert one == two == three


@pytest.mark.parametrize(
    ("function", "one", "two"),
    [
        (many, {"b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}}),
        (many, {"c": {"a", "b", "c", "dd"}}, {"c": {"dd", "c", "b", "a"}}),
        (many, {"d": [{"x": 1, "y": 2}]}, {"d": [{"y": 2, "x": 1}]}),
        (
            instants,
            {"at": datetime(2024, 5, 1, 12, tzinfo=UTC)},
            {"at": datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))},
        ),
        (
            instants,
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "amount": Decimal("2.5")},
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "amount": Decimal("2.500")},
        ),
        (
            instants,
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "ratio": 1},
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "ratio": 1.0},
        ),
        (
            instants,
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "ratio": 0.0},
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "ratio": -0.0},
        ),
        (
            instants,
            {"at": datetime(2024, 5, 1, tzinfo=UTC)},
            {"at": datetime(2024, 5, 1, tzinfo=UTC), "amount": Decimal(1)},
        ),
    ],
)
def test_equal_arguments_have_equal_hashes(function, one, two):
    first, second = hashes(function, ((), one), ((), two))
    assert first == second


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": 2}, {"a": 3}),
        ({"d": 1}, {"d": "1"}),
        ({"d": 1}, {"d": True}),
        ({"d": 0}, {"d": False}),
        ({"d": []}, {"d": {}}),
        ({"d": [1, 2]}, {"d": [2, 1]}),
        ({"d": ["a,b"]}, {"d": ["a", "b"]}),
        ({"a": 2}, {"d": 2}),
        ({"b": {}}, {"c": set()}),
    ],
)
def test_different_arguments_have_different_hashes(one, two):
    first, second = hashes(many, ((), one), ((), two))
    assert first != second


def test_the_hash_is_the_same_for_ever():
    @dataclass
    class Item:
        sku: str
        price: Decimal

    def task(
        items: list[Item], at: datetime, who: UUID, tags: set[str], ratio: float, blob: bytes, wait: timedelta
    ): ...

    made = Codec.of(task, "t", names=locals())
    data = made.encode(
        (
            [Item("ü-1", Decimal("9.90"))],
            datetime(2024, 5, 1, 12, tzinfo=UTC),
            UUID(int=1),
            {"b", "a"},
            0.1,
            b"\x00\xff",
            timedelta(days=1, microseconds=1),
        ),
        {},
    )
    assert made.args_hash(data) == "7d12a7c0d1c0fd32883118db1b2fa37e"
    assert SEND.args_hash(SEND.encode((42, "x"), {})) == "a06c1c902601c95f9b592d72409f5ceb"


def test_the_hash_survives_a_deploy_that_does_not_touch_the_arguments():
    def before(order_id: int, note: str = ""): ...
    def reordered(note: str = "", order_id: int = 0): ...
    def widened(order_id: int | None, note: str | None = "", extra: int = 5): ...

    data = b'{"order_id":42,"note":"x"}'
    assert len({Codec.of(one, "t").args_hash(data) for one in (before, reordered, widened)}) == 1


# Results


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (None, None),
        (5, int),
        ([1, 2], list[int]),
        ((1, "x"), tuple[int, str]),
        (User(1, datetime(2024, 5, 1, tzinfo=UTC)), User),
        (datetime(2024, 5, 1), datetime),
        ({"a": Decimal("1.0")}, dict[str, Decimal]),
        (10**30, int),
    ],
)
def test_a_result_comes_back(value, annotation):
    assert decode_result(encode_result(value), annotation) == value


def test_a_result_is_not_checked_against_its_annotation_for_the_work_is_done():
    assert decode_result(encode_result((1, 2))) == [1, 2]


def test_a_pydantic_result_comes_back():
    class Answer(pydantic.BaseModel):
        at: datetime

    answer = Answer(at=datetime(2024, 5, 1, tzinfo=UTC))
    assert decode_result(encode_result(answer), Answer) == answer
    assert decode_result(encode_result([answer]), list[Answer]) == [answer]


def test_a_result_above_the_limit_is_refused():
    assert encode_result("x" * (RESULT_BYTES_MAX - 2))
    with pytest.raises(PayloadTooLarge, match="The result take"):
        encode_result("x" * RESULT_BYTES_MAX)
    with pytest.raises(PayloadTooLarge):
        encode_result("xyz", 4)


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 0, {1j: 1}, "\ud800", [float("nan")], {"x": (float("inf"),)}],
    ids=["object", "function", "complex", "surrogate", "nan", "inf"],
)
def test_a_result_that_json_cannot_carry_is_refused(value):
    with pytest.raises(RunError, match="The result"):
        encode_result(value)


def test_a_result_that_does_not_fit_is_refused():
    with pytest.raises(RunError, match="result is no such value: expected `int`"):
        decode_result(b'"x"', int)


# Schema, and what is loaded


def test_the_json_schema_of_the_arguments():
    schema = SEND.json_schema()
    [found] = schema["$defs"].values() if "$defs" in schema else [schema]
    assert list(found["properties"]) == ["order_id", "note", "urgent"]
    assert found["required"] == ["order_id"]


def test_pydantic_is_not_loaded_for_tasks_that_do_not_use_it():
    program = (
        "import sys\nfrom dutiful.model.payload import Codec\n"
        "def f(x: int, y: list[str] | None = None): ...\n"
        "c = Codec.of(f, 'f')\nc.args_hash(c.encode((1, ['a']), {}))\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
