"""Effects in the store: read one, write down a call before it is made, settle it when it is answered."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict

from ..model.effects import EffectRow, Terms
from .plan import Call, Steps, durable, operation, query, typed


class Caller(Struct, frozen=True):
    """Whose effect, under which key, and the run that asks: its token is the fence."""

    app: str
    task: str
    duty: str
    name: str
    key: str
    id: str
    token: str


class Look(Struct, frozen=True):
    """What was seen of an effect. ``mine``: the run that asks still owns its job."""

    mine: bool
    now_us: int
    row: EffectRow | None


class EffectView(Struct, frozen=True):
    """One effect, as people see it."""

    name: str
    key: str
    state: str
    job_id: str
    run_no: int
    tries: int
    calls_open: int
    asked_at_us: int
    sent_at_us: int
    ended_at_us: int | None
    settled_at_us: int | None
    settled_by: str | None
    remembered_us: int | None
    margin_us: int
    error: str | None
    result: bytes | None


@query
def look(caller: Caller) -> Steps[Look]:
    """The effect as it is, by the database's clock."""
    [row] = yield Call("look_at_effect", _run(caller), alone=True)
    mine, now_us, state, request_hash, asked_at, sent_at, remembered, margin, tries, token = row[:10]
    calls_open, calls_alive, dead_since, lost, result, error, key = row[10:]
    if state is None:
        return Look(bool(mine), now_us, None)
    seen = EffectRow(
        state=state,
        request_hash=request_hash,
        asked_at_us=asked_at,
        sent_at_us=sent_at,
        remembered_us=remembered,
        margin_us=margin,
        tries=tries,
        token=token,
        calls_open=calls_open,
        calls_alive=calls_alive,
        dead_since_us=dead_since,
        caller_lost=bool(lost),
        result=None if result is None else bytes(result),
        error=error,
        key=key,
    )
    return Look(bool(mine), now_us, seen)


@durable
def intend(caller: Caller, terms: Terms, seen: EffectRow | None, *, fresh: bool = True) -> Steps[int | None]:
    """Write down a call that is to be made, as the effect was ``seen``; returns the call's number.

    None: the run has lost its job, or the effect is not any more as it was seen.
    """
    params: dict[str, object] = asdict(caller)
    params |= {
        "remembered": terms.remembered_us,
        "margin": terms.margin_us,
        "request_hash": terms.request_hash,
    }
    if seen is None:
        rows = yield Call("intend_effect", params, alone=True)
        return rows[0][0] if rows else None
    if not fresh and (kept := seen.kept(terms)) is not None:
        params["remembered"], params["margin"] = kept  # calls under both declarations are open
    params |= {
        "fresh": fresh,
        "alive": int(seen.dead_since_us is None),
        "seen_state": seen.state,
        "seen_tries": seen.tries,
    }
    params.pop("key")
    rows = yield Call("resend_effect", params, alone=True)
    return rows[0][0] if rows else None


@operation
def settle(caller: Caller, tries: int, result: bytes | None, error: str | None = None) -> Steps[bool]:
    """The call was answered; False if the effect is settled already, or another run has called since.

    ``error`` says why there is no result to keep.
    """
    params = {**_call(caller, tries), "token": caller.token, "result": result, "error": error}
    return bool((yield Call("settle_effect", params, alone=True)))


@operation
def settle_found(caller: Caller, tries: int, result: bytes | None, error: str | None = None) -> Steps[bool]:
    """A lookup found the call applied; False if the run is over, or the effect is not as it was seen."""
    params = {**_run(caller), "tries": tries, "result": result, "error": error}
    return bool((yield Call("settle_effect_found", params, alone=True)))


@operation
def end_call(caller: Caller, tries: int, error: str, *, refused: bool) -> Steps[bool]:
    """The call came back refused, or nobody knows; False if that was noted, or it is not the last one."""
    params = {**_call(caller, tries), "token": caller.token, "error": error, "refused": int(refused)}
    return bool((yield Call("end_call", params, alone=True)))


@query
def of_duty(app: str, task: str, duty: str) -> Steps[list[EffectView]]:
    """The effects of a duty (its key, or the job's id where it has none), first called first."""
    rows = yield Call("list_effects", {"app": app, "task": task, "duty": duty}, alone=True)
    return [typed(EffectView, row) for row in rows]


def _effect(caller: Caller) -> dict[str, object]:
    return {"app": caller.app, "task": caller.task, "duty": caller.duty, "name": caller.name}


def _run(caller: Caller) -> dict[str, object]:
    return {**_effect(caller), "id": caller.id, "token": caller.token}


def _call(caller: Caller, tries: int) -> dict[str, object]:
    return {**_effect(caller), "tries": tries}
