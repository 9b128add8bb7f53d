"""``dutiful verdict``: is anything lost, doubled, late or unseen, and can that be believed?"""

from __future__ import annotations

import time

import click

from ..model.durations import microseconds
from ..model.errors import StoreUnreachable
from ..model.spans import span
from ..model.verdict import NAMES, Thing, Verdict, Watch
from ..supervise.verdict import document, unreadable, verdict
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .printing import Printer
from .reach import reach
from .session import Session, pass_session

CODES = {"well": DONE, "person": BAD, "unknown": CANNOT_SAY}
NAGIOS = {"well": 0, "late": 1, "unseen": 1, "lost": 2, "doubled": 2, "unknown": 3}
NAGIOS_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
THINGS_SHOWN = 10
LOOK_S = 2.0


@click.command("verdict", cls=SharedCommand)
@click.option("--wait", metavar="SPAN", help="Look again until all is well, at most so long.")
@click.option("--nagios", is_flag=True, help="One line, and 0, 1 (late, unseen), 2 (lost, doubled) or 3.")
@click.option("--only", metavar="NAMES", help="Judge these numbers alone, as lost,late.")
@pass_session
def verdict_command(session: Session, wait: str | None, nagios: bool, only: str | None) -> int:
    """Is anything lost, doubled, late or unseen?

    Exit 0: well, as far as is checked. 1: it needs a person. 3: it cannot be said.
    """
    names = _names(only)
    until = time.monotonic() + (0 if wait is None else microseconds(wait, what="--wait") / 1e6)
    try:
        with reach(session) as store:
            while True:
                found = verdict(store, store.name)
                state = _state(found, names)
                left = until - time.monotonic()
                if state == "well" or left <= 0:
                    break
                time.sleep(min(LOOK_S, left))
    except StoreUnreachable as error:
        found = unreadable(session.app_name or "", " ".join(str(error).split()))
        state = "unknown"
    if nagios:
        return _nagios(session.printer, found, names)
    if session.printer.json:
        session.printer.document("verdict/1", document(found))
    else:
        _put(session.printer, found, names)
    return CODES[state]


def _names(only: str | None) -> tuple[str, ...]:
    if only is None:
        return NAMES
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    for name in names:
        if name not in NAMES:
            raise click.UsageError(f"--only {name}: there are {', '.join(NAMES)}.")
    if not names:
        raise click.UsageError(f"--only names none of {', '.join(NAMES)}.")
    return names


def _state(found: Verdict, names: tuple[str, ...]) -> str:
    """By these numbers alone; all four give the verdict's own."""
    states = {one.state for one in found.numbers if one.name in names}
    return "person" if "person" in states else "unknown" if "unknown" in states else "well"


def _put(printer: Printer, found: Verdict, names: tuple[str, ...]) -> None:
    app = f"app {found.app}  ·  " if found.app else ""
    printer.put(f"{found.sign} {found.headline}")
    printer.put(f"  {app}as of {printer.clock(found.as_of_us)}")
    four = [f"{one.name} {one.amount:,} {one.sign}" for one in found.numbers if one.name in names]
    printer.put("  " + "   ".join(four))
    shown = [thing for thing in found.things if thing.number in names]
    for thing in shown[:THINGS_SHOWN]:
        printer.prose(f"{thing.number:<8}{thing.sentence}{_since(printer, thing)}", "  ", " " * 10)
    if len(shown) > THINGS_SHOWN:
        printer.put(f"  … and {len(shown) - THINGS_SHOWN:,} more: dutiful verdict --json")
    silent = [_watcher(one) for one in found.watches if one.silent]
    if silent:
        printer.prose(f"silent  {' · '.join(silent)}", "  ", " " * 10)
    command = next((thing.command for thing in shown if thing.command), "")
    if command:
        printer.put(f"  next    {printer.complete(command)}")
    elif found.state == "unknown" and all(one.silent for one in found.watches if one.needed):
        printer.put(f"  next    {printer.complete('dutiful worker')}")


def _since(printer: Printer, thing: Thing) -> str:
    return "" if thing.since_us is None else f"  (since {printer.clock(thing.since_us)})"


def _watcher(one: Watch) -> str:
    return f"{one.name} never" if one.age_us is None else f"{one.name} {span(one.age_us)}"


def _nagios(printer: Printer, found: Verdict, names: tuple[str, ...]) -> int:
    """As monitoring plugins speak: one line with performance data."""
    codes = [NAGIOS[one.name] for one in found.numbers if one.name in names and one.amount]
    unknown = any(one.unknown for one in found.numbers if one.name in names)
    code = max(codes) if codes else NAGIOS["unknown"] if unknown else 0
    data = " ".join(f"{one.name}={one.amount};;;0;" for one in found.numbers if one.name in names)
    printer.put(f"DUTIFUL {NAGIOS_WORDS[code]} - {found.headline.replace('|', '/')} | {data}")
    return code
