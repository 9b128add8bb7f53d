"""Carry out one run: decode, wrap, call the body, and say how it ended. The only caller of user code."""

from __future__ import annotations

import contextlib
import logging
import random
import traceback
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ..app import events
from ..app.events import emit
from ..app.running import Run
from ..model.durations import text
from ..model.effects import EffectStop
from ..model.errors import TimedOut
from ..model.fingerprints import fingerprint, own_fingerprint
from ..model.jobs import RESULT_BYTES_MAX, Ending, Failure, Lease
from ..model.payload import encode_result
from ..model.retry import Again, Bury, judge
from .masking import said
from .stops import give_effects, go_by_effects, stopped

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

logger = logging.getLogger("dutiful.worker")

TRACEBACK_CHARS_MAX = 20_000
MESSAGE_CHARS_MAX = 2_000
STOPPING = "its worker had to stop"


class Cancelled(BaseException):
    """Thrown into a body that must stop now: the worker shuts down, or the run is over."""


def run_of(lease: Lease) -> Run:
    """What the body is given."""
    return Run(
        job_id=lease.job_id,
        task=lease.task,
        run_no=lease.run_no,
        attempt=lease.attempt,
        duty_key=lease.key,
    )


def carry_out(app: App, task: Task[..., Any], lease: Lease, run: Run) -> Ending:
    """Run a plain task's body to its end, in this thread, as its delivery wants it."""
    if task.policy.batch is not None:
        from .batches import carry_out_batch

        return carry_out_batch(app, task, [(lease, run)], lambda lease: True)[0]
    if task.policy.delivery == "exactly_once":
        from .exactly import exactly

        return exactly(app, task, lease, run)
    if task.policy.delivery == "at_most_once":
        from .starting import at_most_once

        return at_most_once(app, task, lease, run)
    try:
        return completed(task, lease, body(app, task, lease, run))
    except BaseException as error:
        return failed(task, lease, error)


async def acarry_out(app: App, task: Task[..., Any], lease: Lease, run: Run) -> Ending:
    """Run an async task's body to its end. CancelledError is the caller's to explain."""
    import asyncio

    if task.policy.delivery == "exactly_once":
        from .exactly import aexactly

        return await aexactly(app, task, lease, run)
    if task.policy.delivery == "at_most_once":
        from .starting import aat_most_once

        return await aat_most_once(app, task, lease, run)
    try:
        return completed(task, lease, await abody(app, task, lease, run))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return failed(task, lease, error)


def body(
    app: App, task: Task[..., Any], lease: Lease, run: Run, given: Mapping[str, Any] | None = None
) -> Any:
    """Call the function itself; ``given`` are injected arguments other than the run."""
    arguments = arguments_of(task, lease, run)
    if given:
        arguments.update(given)
    give_effects(app, task, lease, run)
    try:
        if not app.wrappers:
            return task.function(**arguments)
        with _around(app, run):
            return task.function(**arguments)
    finally:
        go_by_effects(run)


async def abody(
    app: App, task: Task[..., Any], lease: Lease, run: Run, given: Mapping[str, Any] | None = None
) -> Any:
    """The same for an async function, within its timeout."""
    arguments = arguments_of(task, lease, run) | dict(given or {})
    give_effects(app, task, lease, run)
    try:
        with _around(app, run):
            if task.policy.timeout_us is None:
                return await task.function(**arguments)
            return await _in_time(task, arguments)
    finally:
        go_by_effects(run)


async def _in_time(task: Task[..., Any], arguments: dict[str, Any]) -> Any:
    import asyncio

    assert task.policy.timeout_us is not None
    scope = asyncio.timeout(task.policy.timeout_us / 1e6)
    try:
        async with scope:
            return await task.function(**arguments)
    except TimeoutError:
        if scope.expired():
            raise timed_out(task) from None
        raise


def arguments_of(task: Task[..., Any], lease: Lease, run: Run) -> dict[str, Any]:
    """The body's arguments, decoded; raises what says that they do not fit."""
    arguments = task.codec.decode(lease.args)
    for name in task.codec.injected:
        arguments[name] = run
    return arguments


@contextlib.contextmanager
def _around(app: App, run: Run) -> Iterator[None]:
    if not app.wrappers:
        yield
        return
    error: BaseException | None = None
    with contextlib.ExitStack() as stack:
        for wrapper in app.wrappers:
            stack.enter_context(contextlib.contextmanager(wrapper)(run))
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
    if error is not None:  # a wrapper swallowed it; a body that raised has failed all the same
        raise error


def result_of(task: Task[..., Any], value: Any) -> bytes | None:
    """What is kept of a body's return value, if the task wants that; raises where it cannot be kept."""
    return encode_result(value, RESULT_BYTES_MAX) if task.policy.result else None


def completed(task: Task[..., Any], lease: Lease, value: Any) -> Ending:
    """The ending of a body that returned. A result that cannot be kept is an error of the task."""
    result = result_of(task, value)
    ending = Ending("complete", lease.job_id, lease.token, lease.run_no, result=result, started=_once(task))
    if lease.delivery == "at_least_once" or task.policy.delivery != "at_least_once":
        return ending
    return replace(ending, reason="as at_least_once")  # the task was another when the job was stored


def failed(task: Task[..., Any], lease: Lease, error: BaseException) -> Ending:
    """The ending of a body that raised, by the pure verdict on it."""
    if isinstance(error, EffectStop):
        return stopped(task, lease, error)
    numbers: dict[str, Any] = {"attempt": lease.attempt, "run_no": lease.run_no}
    verdict = judge(error, retry=task.policy.retry, chance=random.random(), **numbers)
    if _once(task) and isinstance(verdict, Again):
        verdict = Bury("error", error)  # whatever the body asks for: it has begun, and is never run again
    about: dict[str, Any] = {"job_id": lease.job_id, "task": lease.task, "attempt": lease.attempt}
    if not isinstance(verdict, Again):
        emit(
            logger,
            logging.ERROR,
            events.JOB_BURIED,
            **about,
            reason=verdict.reason,
            error=said(task, lease, error),
        )
        return Ending(
            "bury",
            lease.job_id,
            lease.token,
            lease.run_no,
            reason=verdict.reason,
            failure=death_of(task, lease, error),
            started=_once(task),
        )
    if not verdict.charged:
        emit(logger, logging.INFO, events.JOB_SNOOZED, **about, delay_s=verdict.delay_us / 1e6)
    else:
        emit(
            logger,
            logging.WARNING,
            events.JOB_FAILED,
            **about,
            error=said(task, lease, error),
            delay_s=verdict.delay_us / 1e6,
        )
    return Ending(
        "fail" if verdict.charged else "snooze",
        lease.job_id,
        lease.token,
        lease.run_no,
        delay_us=verdict.delay_us,
        charged=verdict.charged,
        failure=None if verdict.error is None else failure_of(verdict.error),
    )


def released(lease: Lease, *, begun: bool) -> Ending:
    """The ending of a run that is handed back, uncharged."""
    return Ending("release", lease.job_id, lease.token, lease.run_no, begun=begun, charged=False)


def cut_off(task: Task[..., Any], lease: Lease, why: str, kind: str = "CutOff") -> Ending:
    """The ending of a body that was stopped, or that is given up while it goes on: handed back, uncharged.

    A started at_most_once body is in doubt then; whether it had started, the store knows. ``kind`` says
    whether the body may go on (``MAY_GO_ON`` of :mod:`dutiful.model.doubts`).
    """
    if not _once(task):
        return released(lease, begun=True)
    why = f"the body was cut off: {why}"
    emit(logger, logging.ERROR, events.JOB_IN_DOUBT, job_id=lease.job_id, task=lease.task, why=why)
    return replace(released(lease, begun=True), reason=why, failure=Failure(kind, why), started=True)


def _once(task: Task[..., Any]) -> bool:
    return task.policy.delivery == "at_most_once"


def out_of_time(task: Task[..., Any], lease: Lease, kind: str) -> Ending:
    """The ending of a body that is given up, or was killed, because it ran longer than its timeout."""
    if not _once(task):
        return failed(task, lease, timed_out(task))
    assert task.policy.timeout_us is not None
    return cut_off(task, lease, f"it ran longer than its timeout of {text(task.policy.timeout_us)}", kind)


def timed_out(task: Task[..., Any]) -> TimedOut:
    """The error of a body that ran longer than its task's timeout."""
    assert task.policy.timeout_us is not None
    return TimedOut(f"{task.name} ran longer than its timeout of {text(task.policy.timeout_us)}.")


def failure_of(error: BaseException) -> Failure:
    """What people will read: kind, message, and the traceback from the user's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("dutiful."):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
        message = "\n".join([str(error), *getattr(error, "__notes__", ())])
    except Exception as broken:  # an error whose own text raises
        lines, message = [], f"(its text cannot be had: {type(broken).__name__})"
    kind = type(error).__qualname__
    module = type(error).__module__
    if module not in ("builtins", "__main__") and not module.startswith("dutiful."):
        kind = f"{module}.{kind}"
    text = "".join(lines)
    if len(text) > TRACEBACK_CHARS_MAX:
        half = TRACEBACK_CHARS_MAX // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"
    return Failure(_clean(kind), _clean(message[:MESSAGE_CHARS_MAX]), _clean(text))


def death_of(task: Task[..., Any], lease: Lease, error: BaseException) -> Failure:
    """The same with its cause, by which the dead are grouped: the task's own, or the usual one."""
    failure = failure_of(error)
    own = None
    if task.policy.fingerprint is not None:
        try:
            own = own_fingerprint(task.name, task.policy.fingerprint(error))
        except Exception as broken:  # grouped in the usual way, then
            emit(
                logger,
                logging.WARNING,
                events.FINGERPRINT_FAILED,
                task=task.name,
                error=said(task, lease, broken),
            )
    cause = own or fingerprint(task.name, failure.kind, failure.message, error.__traceback__)
    return replace(failure, fingerprint=cause)


def _clean(text: str) -> str:
    """Text that both databases take: no NUL, no lone surrogates."""
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()
