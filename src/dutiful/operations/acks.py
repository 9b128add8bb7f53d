"""What people say of things that need one: seen, until when; mine. Each is audited.

A thing is named by a key; ``group:`` and a fingerprint is a cause of death. Being seen lapses: by time, when
the thing has grown twofold, or when it comes again in another release. Who reads that decides it
(``unseen_groups``); here is kept what it was when it was seen.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..model.errors import AckRefused
from ..model.spans import span as shown_span
from .audit import note
from .plan import Call, Steps, operation, query

GROUP: Final = "group:"
SPAN_US: Final = 86_400_000_000
"""For how long something is seen, if nothing else is said: a day."""
SPAN_US_MAX: Final = 90 * SPAN_US


class Ack(Struct, frozen=True):
    """What is kept of a thing: who took it, and who has seen it, when, until when, how large it was."""

    thing: str
    owner: str | None
    taken_at_us: int | None
    acked_by: str | None
    acked_at_us: int | None
    note: str | None
    until_us: int | None
    count_then: int | None
    release_then: str | None
    now_us: int

    def holds(self, count: int, last_release: str, last_at_us: int) -> bool:
        """Whether a cause of death that is so now is still seen: as ``unseen_groups`` has it."""
        if self.acked_at_us is None or self.until_us is None or self.until_us <= self.now_us:
            return False
        again = last_release != self.release_then and last_at_us > self.acked_at_us
        return count < 2 * (self.count_then or 0) and not again


@query
def of(app: str, thing: str) -> Steps[Ack | None]:
    """What people said of one thing."""
    rows = yield Call("find_ack", {"app": app, "thing": thing}, alone=True)
    return Ack(*rows[0]) if rows else None


@query
def listed(app: str, *, after: str = "", limit: int = 500) -> Steps[list[Ack]]:
    """What people said of all things, by key."""
    return [Ack(*row) for row in (yield Call("list_acks", {"app": app, "after": after, "limit": limit}))]


@operation
def acknowledge(
    app: str, thing: str, *, actor: str, note_text: str, span_us: int = SPAN_US, count: int = 0
) -> Steps[Ack]:
    """It is seen from now on, for so long: at most 90 days. ``count`` is how large it is, if it is no group.

    Raises AckRefused: for a group of which nobody is dead, without a note, or for too long.
    """
    if not note_text.strip():
        raise AckRefused(
            f"{thing} is not acknowledged without a note.", hint="Say what was found: --note TEXT"
        )
    if not 0 < span_us <= SPAN_US_MAX:
        raise AckRefused(f"{thing} can be acknowledged for {shown_span(SPAN_US_MAX)} at most.")
    release: str | None = ""
    if thing.startswith(GROUP):
        fingerprint = thing.removeprefix(GROUP)
        [(count, release)] = yield Call("how_it_is", {"app": app, "fingerprint": fingerprint})
        if not count:
            raise AckRefused(f"Nobody is dead of {fingerprint} in app {app!r}.", hint="dutiful dead groups")
    said: dict[str, object] = {"note": note_text, "span": span_us, "count": count, "release": release or ""}
    yield Call("acknowledge", {"app": app, "thing": thing, "actor": actor, **said})
    yield note("acknowledge", app, actor, thing, f"{count:,}", f"seen for {shown_span(span_us)}", note_text)
    return Ack(*(yield Call("find_ack", {"app": app, "thing": thing}))[0])


@operation
def withdraw(app: str, thing: str, *, actor: str, reason: str = "") -> Steps[None]:
    """It is unseen again. Raises AckRefused where nobody has seen it."""
    if not (yield Call("withdraw_ack", {"app": app, "thing": thing})):
        raise AckRefused(f"Nobody has acknowledged {thing}.")
    yield note("withdraw", app, actor, thing, "seen", "unseen", reason)


@operation
def take(app: str, thing: str, *, actor: str, owner: str | None, reason: str = "") -> Steps[Ack]:
    """It is this one's to see to from now on; None: nobody's."""
    before = yield Call("find_ack", {"app": app, "thing": thing})
    yield Call("take_thing", {"app": app, "thing": thing, "owner": owner})
    had = before[0][1] if before else None
    yield note("take", app, actor, thing, had or "nobody's", owner or "nobody's", reason)
    return Ack(*(yield Call("find_ack", {"app": app, "thing": thing}))[0])
