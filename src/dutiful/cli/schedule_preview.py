"""``dutiful schedule preview``: when a schedule fires next, and the nights when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from ..model.durations import microseconds
from ..model.errors import ScheduleRefused
from ..model.keys import near
from ..model.nights import Night, nights
from ..model.schedules import Spec, expand, first, instant_text
from ..operations import schedules
from .lazy import SharedCommand
from .reach import reach
from .session import Session, pass_session
from .tables import Column
from .times import parse_instant

COUNT = 10
NIGHTS_S = 400 * 86_400
"""How far ahead changes of the clock are looked for."""
COLUMNS = [Column("UTC"), Column("LOCAL", least=20), Column("CLOCK", least=20, spare=1)]


@click.command("preview", cls=SharedCommand)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--cron", metavar="EXPR", help="An expression instead of a schedule: '0 8 * * MON-FRI'.")
@click.option("--every", metavar="DURATION", help="An interval instead of a schedule.")
@click.option("--tz", metavar="ZONE", default="UTC", help="With --cron: the zone (default UTC).")
@click.option("--from", "start", metavar="INSTANT", help="From then on, instead of now.")
@click.option("--count", type=click.IntRange(1, 1000), default=COUNT, metavar="N", help="So many.")
@pass_session
def preview(
    session: Session,
    name: str | None,
    cron: str | None,
    every: str | None,
    tz: str,
    start: str | None,
    count: int,
) -> None:
    """The next times, local and UTC, and what happens on the nights when clocks change.

    By this host's clock and its time zones; with --cron or --every no store is needed.
    """
    if sum(one is not None for one in (name, cron, every)) != 1:
        raise click.UsageError("Give the NAME of a schedule, or --cron EXPR, or --every DURATION.")
    if name is not None:
        spec = _named(session, name)
    else:
        every_us = None if every is None else microseconds(every, what="--every", zero_ok=False)
        spec = Spec("", cron=None if cron is None else expand(cron), tz=tz, every_us=every_us)
    begin = _start(start, session)
    times = first(spec.after(begin * 1_000_000 - 1), count)
    found = list(nights(spec, begin, begin + NIGHTS_S))
    printer = session.printer
    if printer.json:
        document = {
            "schedule": name,
            "rule": spec.words,
            "tz": spec.tz,
            "times": [{"utc": instant_text(at), "local": _local(spec, at // 1_000_000)} for at in times],
            "nights": [_of_night(spec, night) for night in found],
        }
        printer.document("schedule.preview/1", document)
        return
    printer.table(COLUMNS, [[instant_text(at), _local(spec, at // 10**6), _mark(at, found)] for at in times])
    for night in found:
        before, after = night.change.local
        printer.put()
        printer.put(f"{before:%Y-%m-%d}: the clock goes from {before:%H:%M} to {after:%H:%M}")
        printer.put(f"  {night.words}")
        for at in night.fires[:8]:
            printer.put(f"  {instant_text(at * 10**6)}  {_local(spec, at)}")
    if spec.cron is not None and not found:
        printer.say(f"No clock changes in {spec.tz} in the next {NIGHTS_S // 86_400} days.")


def _named(session: Session, name: str) -> Spec:
    with reach(session) as store:
        if store.app is not None and name in store.app.schedules:
            return store.app.schedules[name].spec
        known = {one.name: one for one in store.run(schedules.look(store.name))}
    if name not in known:
        raise ScheduleRefused(f"There is no schedule {name!r}{near(name, known)}.")
    return known[name].spec


def _start(text: str | None, session: Session) -> int:
    if text is None:
        return round(datetime.now(UTC).timestamp())
    try:
        return round(parse_instant(text, utc=session.utc).timestamp())
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no instant: {error}. As in: 2026-01-15T02:00Z") from None


def _local(spec: Spec, at: int) -> str:
    return datetime.fromtimestamp(at, spec.zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def _mark(at_us: int, found: list[Night]) -> str:
    return "the clock changes" if any(at_us // 10**6 in night.fires for night in found) else ""


def _of_night(spec: Spec, night: Night) -> dict[str, object]:
    before, after = night.change.local
    return {
        "at": instant_text(night.change.at * 10**6),
        "from": before.isoformat(),
        "to": after.isoformat(),
        "times": [one.isoformat() for one in night.times],
        "fires": [{"utc": instant_text(at * 10**6), "local": _local(spec, at)} for at in night.fires],
        "what": night.words,
    }
