"""What ``run.effect`` does, written once for plain and async callers: decide, write down, call, settle.

The steps are a generator. It yields operations for the database and calls for the other side, and is
sent what they gave or thrown what they raised; :func:`carry` and :func:`acarry` carry them out.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from msgspec import Struct

from ..engines.contract import Runner
from ..model.durations import Duration
from ..model.effects import (
    Changed,
    Doubt,
    EffectInDoubt,
    EffectRow,
    EffectWaits,
    LookUp,
    Return,
    Send,
    Terms,
    Wait,
    decide,
)
from ..model.errors import (
    CommitUnknown,
    DutifulError,
    EffectChanged,
    EffectNotSent,
    EffectRefused,
    EffectUnknown,
    InsideTransaction,
    InvalidEffect,
    LeaseLost,
    ResultNotKept,
    StoreBusy,
    Unsure,
)
from ..model.payload import decode_result, encode_result
from ..operations import effects
from ..operations.effects import Caller, Look
from ..operations.plan import Operation
from . import events
from .transactions import open_work

T = TypeVar("T")

logger = logging.getLogger("dutiful.app")

ROUNDS_MAX = 20
"""How often an effect is looked at anew because it changed between the look and the write."""
REPEATS_MAX = 3
"""How often a write is repeated whose commit got no answer."""
ERROR_CHARS_MAX = 2_000

Do = Callable[[str], Any]


class Calling(Struct, frozen=True):
    """Ask the other side: ``do`` or ``lookup``, with the key."""

    what: str
    function: Do
    key: str


Flow = Generator[Operation[Any] | Calling, Any, Any]


class EffectMeans(Struct):
    """What a worker gives a run for its effects: where they are kept, and the token that is the fence."""

    engine: Runner
    app: str
    token: str
    refusal: str = ""
    """Why this run can have no effects, if it cannot."""


class Asked(Struct, frozen=True):
    """One call of ``run.effect``, checked."""

    task: str
    duty: str
    job_id: str
    run_no: int
    name: str
    key: str
    terms: Terms
    do: Do
    lookup: Do | None

    def caller(self, means: EffectMeans) -> Caller:
        return Caller(
            means.app, self.task, self.duty, self.name, key=self.key, id=self.job_id, token=means.token
        )


def checked(
    means: EffectMeans | None,
    name: str,
    do: Do,
    request: Any,
    remembered: Duration | None,
    lookup: Do | None,
    margin: Duration | None,
    quiet: Duration | None,
) -> Terms:
    """What was given, checked before anything else. Raises InvalidEffect, or InsideTransaction."""
    if open_work.get() is not None:
        raise InsideTransaction(f"Effect {name!r}: the transaction of this run is open. Nothing was called.")
    if means is not None and means.refusal:
        raise InvalidEffect(f"Effect {name!r}: {means.refusal}. Nothing was called.")
    for what, function in (("do", do), ("lookup", lookup)):
        if not callable(function) and (function is not None or what == "do"):
            raise InvalidEffect(f"Effect {name!r}: {what}={function!r} is no function.")
    return Terms.of(name, request=request, remembered=remembered, margin=margin, quiet=quiet, lookup=lookup)


# ── the steps ───────────────────────────────────────────────────────────────────────────────


def flow_of(asked: Asked, means: EffectMeans | None) -> Flow:
    """The steps of this call; without means, those of a run that was made for a test."""
    return _without_store(asked) if means is None else _with_store(asked, means)


def _without_store(asked: Asked) -> Flow:
    """For a run that was made for a test: just the call, its result as a worker's run would have it."""
    kept, error = _kept((yield Calling("do", asked.do, asked.key)))
    return _given(asked, kept, error)


def _with_store(asked: Asked, means: EffectMeans) -> Flow:
    """All of it; see :func:`~dutiful.model.effects.decide` for what it does when."""
    caller = asked.caller(means)
    unanswered: set[int] = set()
    for _ in range(ROUNDS_MAX):
        look: Look = yield effects.look(caller)
        if not look.mine:
            raise LeaseLost(job_id=asked.job_id, run_no=asked.run_no)
        row = look.row
        key = asked.key if row is None else row.key  # a person may have given it another
        if (
            row is not None
            and row.tries in unanswered
            and (row.state, row.token) == ("intended", means.token)
        ):
            # The write that got no answer was this one.
            return (yield from _send(asked, caller, row.tries, key))
        decision = decide(row, look.now_us, asked.terms)
        if isinstance(decision, LookUp):
            assert row is not None and asked.lookup is not None
            try:
                found = yield Calling("lookup", asked.lookup, key)
            except Unsure:
                decision = decide(row, look.now_us, asked.terms, "unsure")
            else:
                if found is None:
                    decision = decide(row, look.now_us, asked.terms, "surely_not")
                else:
                    kept, error = _kept(found)
                    if (yield from _write(effects.settle_found(caller, row.tries, kept, error))):
                        return _given(asked, kept, error)
                    continue
        if isinstance(decision, Return):
            return _given(asked, decision.result, decision.error)
        if isinstance(decision, Changed):
            raise EffectChanged(f"Effect {asked.name!r} is open, and was called with another request.")
        if isinstance(decision, Doubt):
            raise EffectInDoubt(f"effect {asked.name!r}: {decision.why}")
        if isinstance(decision, Wait):
            delay_us = max(decision.until_us - look.now_us, 1)
            raise EffectWaits(delay_us, f"effect {asked.name!r}: {decision.why}")
        assert isinstance(decision, Send)
        number = yield from _intend(asked, caller, row, decision.fresh, unanswered)
        if number is not None:
            return (yield from _send(asked, caller, number, key))
    raise StoreBusy(f"Effect {asked.name!r} was changed by others {ROUNDS_MAX} times in a row.")


def _intend(asked: Asked, caller: Caller, row: EffectRow | None, fresh: bool, unanswered: set[int]) -> Flow:
    """Write down the call; gives its number, or None: look again."""
    number = 1 if row is None else row.tries + 1
    try:
        return (yield effects.intend(caller, asked.terms, row, fresh=fresh))
    except CommitUnknown:
        unanswered.add(number)
        return None
    except asyncio.CancelledError:  # cancelled while it was written: the call is not made
        yield from _note(asked, effects.end_call(caller, number, "cancelled before the call", refused=True))
        raise


def _send(asked: Asked, caller: Caller, number: int, key: str) -> Flow:
    """The call itself, which is written down, and what comes of it."""
    kept: bytes | None
    why: str | None
    try:
        value = yield Calling("do", asked.do, key)
    except EffectRefused as error:
        yield from _note(asked, effects.end_call(caller, number, _text(error), refused=True))
        raise
    except ResultNotKept as error:
        kept, why = None, error.message
    except Exception as error:
        yield from _note(asked, effects.end_call(caller, number, _text(error), refused=False))
        raise
    else:
        kept, why = _kept(value)
    if not (yield from _write(effects.settle(caller, number, kept, why))):
        look: Look = yield effects.look(caller)
        row = look.row
        if row is not None and row.state == "done" and (look.mine or row.token == caller.token):
            return _given(asked, row.result, row.error)
        raise LeaseLost(job_id=asked.job_id, run_no=asked.run_no)
    return _given(asked, kept, why)


def _write(operation: Operation[bool]) -> Flow:
    """Settle; again where the commit got no answer. (A second time it matches no row: look.)"""
    for repeat in range(REPEATS_MAX):
        try:
            return (yield operation)
        except CommitUnknown:
            if repeat == REPEATS_MAX - 1:
                raise
    return False


def _note(asked: Asked, operation: Operation[bool]) -> Flow:
    """Note how the call ended. If that fails, the effect is as open as before: the error goes on alone."""
    try:
        yield operation
    except DutifulError as error:
        events.emit(
            logger,
            logging.WARNING,
            events.EFFECT_NOT_NOTED,
            job_id=asked.job_id,
            effect=asked.name,
            error=str(error),
        )


def _kept(value: Any) -> tuple[bytes | None, str | None]:
    """A result as it is stored, or why it cannot be."""
    try:
        return encode_result(value), None
    except DutifulError as error:
        return None, error.message


def _given(asked: Asked, kept: bytes | None, error: str | None) -> Any:
    """What the body is given: the same from the call itself, from a lookup and from the store."""
    if kept is None:
        raise ResultNotKept(
            f"Effect {asked.name!r} is done, but what it returned is lost: {error or 'nobody kept it'}"
        )
    return decode_result(kept)


def _text(error: BaseException) -> str:
    try:
        said = f"{type(error).__qualname__}: {error}"
    except Exception:  # an error whose own text raises
        said = type(error).__qualname__
    return said[:ERROR_CHARS_MAX].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


# ── carrying them out ───────────────────────────────────────────────────────────────────────


def carry(flow: Flow, means: EffectMeans | None) -> Any:
    """For a plain caller."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value
        value = error = None
        try:
            if isinstance(step, Operation):
                assert means is not None
                value = means.engine.run(step)
            else:
                value = _called(step)
        except BaseException as raised:
            error = raised


async def acarry(flow: Flow, means: EffectMeans | None) -> Any:
    """For a caller on an event loop. What is written is written to its end: a cancel waits for it."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value
        value = error = None
        try:
            if isinstance(step, Operation):
                assert means is not None
                value = await to_its_end(means.engine.arun(step))
            else:
                value = step.function(step.key)
                if inspect.isawaitable(value):
                    value = await value
        except BaseException as raised:
            error = raised


def _called(step: Calling) -> Any:
    value = step.function(step.key)
    if not inspect.isawaitable(value):
        return value
    problem = f"{step.what}= is async: write `await run.aeffect(…)`."
    if isinstance(value, Coroutine):
        value.close()
        raise EffectNotSent(f"{problem} It was not begun.")
    raise EffectUnknown(f"{problem} It may have begun.")


async def to_its_end(writing: Awaitable[T]) -> T:
    """Wait until it is written, whoever cancels; then be cancelled."""
    task = asyncio.ensure_future(writing)
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            value = await asyncio.shield(task)
            break
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return value
