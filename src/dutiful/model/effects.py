"""Effects: calls to the world outside, and whether one may be made, as a pure function of what is known.

A call is written down before it is made, under a key that is the same for ever. If its answer is lost,
nobody knows whether it was applied: the effect is *open*. It is called again only where that cannot apply
it twice: while the other side surely remembers the key, or when a lookup says that it was surely not
applied and nobody is left who may still be calling. Else people decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from .canon import canonical, digest
from .durations import Duration, microseconds, text
from .errors import InvalidEffect
from .payload import encode_result

NAME_CHARS_MAX = 200
MARGIN_US_MIN = 300_000_000
"""The margin, where none is given, is a tenth of ``remembered``, and at least this."""
MARGIN_PART = 10
QUIET_US = 300_000_000
"""How long after its caller ended a call may still be on its way, where nothing else is said."""
LIVING_US = 60_000_000
"""How long a run waits before it asks again whether a caller who lives has come to an end."""
PATIENCE_US = 3_600_000_000
"""So long after its call is an earlier caller waited for who lives; then people decide."""


class EffectStop(BaseException):
    """Ends a run whose effect does not let it go on. No ``Exception``: a body must not swallow it."""


class EffectInDoubt(EffectStop):
    """Whether the effect was applied is unknown and cannot be looked up: the job is in doubt."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class EffectWaits(EffectStop):
    """The effect may be asked for again only later: the job comes back then, uncharged."""

    def __init__(self, delay_us: int, why: str) -> None:
        self.delay_us, self.why = delay_us, why
        super().__init__(why)


class Terms(Struct, frozen=True):
    """What a call declares of itself and of the other side. Make it with :meth:`of`."""

    request_hash: str
    remembered_us: int | None
    """How long the other side remembers a key, from when it applied or answered a call; None: it has none."""
    margin_us: int
    quiet_us: int
    has_lookup: bool

    @classmethod
    def of(
        cls,
        name: object,
        *,
        request: Any = None,
        remembered: Duration | None = None,
        margin: Duration | None = None,
        quiet: Duration | None = None,
        lookup: Callable[..., Any] | None = None,
    ) -> Terms:
        """Check what ``run.effect`` was given.

        A margin that leaves no time to send again is refused, not shortened: either the other side
        forgets too soon for its keys to be of use (leave ``remembered=`` away), or the author knows a
        smaller bound for the call's timeout and the worst pause (give ``margin=``). Raises
        InvalidEffect, InvalidDuration.
        """
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise InvalidEffect(
                f"{name!r} is no name for an effect: printable text of 1 to {NAME_CHARS_MAX} characters."
            )
        remembered_us = None if remembered is None else microseconds(remembered, what="remembered")
        if margin is not None:
            margin_us = microseconds(margin, what="margin")
        else:
            margin_us = max((remembered_us or 0) // MARGIN_PART, MARGIN_US_MIN)
        if remembered_us is not None and remembered_us <= margin_us:
            raise InvalidEffect(
                f"Effect {name!r}: the key is remembered for {text(remembered_us)}, and the margin is "
                f"{text(margin_us)}, so that it could never be sent again.",
                hint="Give a smaller margin= (above the call's timeout and the worst pause of a process), "
                "or leave remembered= away.",
            )
        return cls(
            request_hash=_request_hash(name, request),
            remembered_us=remembered_us,
            margin_us=margin_us,
            quiet_us=QUIET_US if quiet is None else microseconds(quiet, what="quiet"),
            has_lookup=lookup is not None,
        )


class EffectRow(Struct, frozen=True):
    """What is stored of an effect, and what is known of its last caller. Instants are microseconds."""

    state: Literal["intended", "done", "refused"]
    request_hash: str
    asked_at_us: int
    sent_at_us: int
    remembered_us: int | None
    margin_us: int
    tries: int
    token: str
    """The run that called last."""
    calls_open: int = 1
    """Calls that may have been applied, for all that is known."""
    calls_alive: int = 0
    """Callers before the last of whom nothing showed that they were dead."""
    dead_since_us: int | None = None
    """Since when the last caller surely calls no more; None if that is not known."""
    caller_lost: bool = False
    """Whether nothing will ever show that it is dead: its worker fell silent, or has no row any more."""
    result: bytes | None = None
    error: str | None = None
    key: str = ""
    """Under which the other side knows it; a person may have given it another."""

    def window_ends_us(self, terms: Terms) -> int | None:
        """Until when the same key may be sent again; None where the other side has no keys."""
        kept = self.kept(terms)
        return None if kept is None else self.asked_at_us + kept[0] - kept[1]

    def kept(self, terms: Terms) -> tuple[int, int] | None:
        """Memory and margin by which to judge: as declared at the call or as now, whichever ends sooner."""
        if self.remembered_us is None or terms.remembered_us is None:
            return None
        then, now = (self.remembered_us, self.margin_us), (terms.remembered_us, terms.margin_us)
        return then if then[0] - then[1] <= now[0] - now[1] else now


class Return(Struct, frozen=True):
    """It is done: give this, and call nobody. ``error`` says why there is no result."""

    result: bytes | None
    error: str | None = None


class Send(Struct, frozen=True):
    """Write down the call, then make it. ``fresh``: no call before it was applied."""

    fresh: bool


class LookUp(Struct, frozen=True):
    """Ask the other side first."""


class Doubt(Struct, frozen=True):
    """People decide."""

    why: str


class Changed(Struct, frozen=True):
    """The request is another than the one that is open: the job is dead."""


class Wait(Struct, frozen=True):
    """Come back at this instant, uncharged."""

    until_us: int
    why: str


Decision = Return | Send | LookUp | Doubt | Changed | Wait
Answer = Literal["surely_not", "unsure"]
"""What a lookup said that found nothing."""


def decide(row: EffectRow | None, now_us: int, terms: Terms, answer: Answer | None = None) -> Decision:
    """What a call of ``run.effect`` does, from the row as it was read at ``now_us``.

    =====================================================  ======================================
    effect row                                             decision
    =====================================================  ======================================
    none                                                   send
    done                                                   return the stored result
    refused (no call that may have been applied is open)   send, same key
    open, and the request differs                          changed
    open, and its key is surely remembered                 send, same key
    open, with a lookup                                    look up, and then by its answer:
    … surely not, all callers dead, quiet has passed       send, same key
    … surely not, the last caller dead, quiet not passed   wait until it has
    … surely not, the last caller lives                    wait, at most ``PATIENCE_US``; then doubt
    … surely not, a caller is lost                         doubt
    … unsure                                               doubt
    open, neither                                          doubt
    =====================================================  ======================================

    ``answer`` is what a lookup said that was begun *after* the row was read: what the row and the
    clock said then is what counts.
    """
    if row is None or row.state == "refused":
        return Send(fresh=True)
    if row.state == "done":
        return Return(row.result, row.error)
    if row.request_hash != terms.request_hash:
        return Changed()
    window_ends_us = row.window_ends_us(terms)
    if window_ends_us is not None and now_us < window_ends_us:
        return Send(fresh=False)
    if not terms.has_lookup:
        why = (
            "its key may be forgotten there"
            if window_ends_us is not None
            else "nothing makes it safe to repeat"
        )
        return Doubt(f"a call has no known outcome, {why}, and there is no lookup")
    if answer is None:
        return LookUp()
    if answer == "unsure":
        return Doubt("a call has no known outcome, and its lookup was unsure")
    return _after_surely_not(row, now_us, terms)


def _after_surely_not(row: EffectRow, now_us: int, terms: Terms) -> Decision:
    unproven = "it was not applied so far, but nothing shows that an earlier caller is dead"
    if row.calls_alive or (row.dead_since_us is None and row.caller_lost):
        return Doubt(unproven)
    if row.dead_since_us is None:
        patience_ends_us = row.sent_at_us + PATIENCE_US
        if now_us >= patience_ends_us:
            return Doubt(unproven)
        return Wait(min(now_us + LIVING_US, patience_ends_us), "an earlier caller may still be calling")
    quiet_ends_us = row.dead_since_us + terms.quiet_us
    if now_us < quiet_ends_us:
        return Wait(quiet_ends_us, "a call that is under way may still be applied")
    return Send(fresh=True)


def _request_hash(name: str, request: Any) -> str:
    """A hash of the request: of its canonical JSON, so that the order of keys does not matter."""
    try:
        encode_result(request)
        return digest(canonical(request))
    except Exception as error:
        problem = str(error).splitlines()[0].replace("The result", "its request")
        raise InvalidEffect(
            f"Effect {name!r}: {problem}",
            hint="Give request= plain data: what the call is about, by its ids.",
        ) from None
