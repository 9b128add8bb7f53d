"""Things that nobody has seen yet, whose they are, and whether alerts come through. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..model.spans import span
from ..model.verdict import Thing, Watch
from .plan import Row
from .thing_facts import Channel
from .words import jobs as jobs_in_words
from .words import plural

PROOF_US = 86_400_000_000
"""How often each channel is proven."""
DELIVERY_US = 60_000_000
"""So long after it was due a message that is not sent is undelivered, failed or not."""


def of_groups(groups: Sequence[Row], fresh: Sequence[Row]) -> list[Thing]:
    """Causes of death that nobody has acknowledged; those beyond the first ones are one thing together.

    What an error said is not told here: it may hold what an argument held.
    """
    found = []
    for fingerprint, task, reason, kind, n, first, _, _, _, lapsed in groups:
        again = ", unseen again" if lapsed else ""
        said = f"{kind or reason} in {task}: {jobs_in_words(int(n))} dead{again}"
        found.append(_group(fingerprint, said, int(n), first))
    for fingerprint, task, reason, n, first in fresh:
        found.append(_group(fingerprint, f"{reason} in {task}: {jobs_in_words(int(n))} dead", int(n), first))
    if groups and int(groups[0][7]) > len(groups):
        more = int(groups[0][7]) - len(groups)
        jobs = int(groups[0][8]) - sum(int(row[4]) for row in groups)
        said = f"{more:,} more {plural(more, 'cause')} of death, {jobs_in_words(jobs)}"
        found.append(
            Thing("groups", "unseen", said, more, jobs, None, "", "dead", "dutiful dead groups --unseen")
        )
    return found


def _group(fingerprint: str, said: str, jobs: int, first: int) -> Thing:
    command = f"dutiful dead list --fp {fingerprint}"
    return Thing(
        f"group:{fingerprint}", "unseen", said, 1, jobs, first, "", f"dead?fp={fingerprint}", command
    )


def owned(found: Sequence[Thing], tasks: Mapping[str, str], by_key: Mapping[str, str]) -> list[Thing]:
    """With their owners: who took the thing, else whose the task is (``by_key``: the task of a thing)."""
    result = []
    for one in found:
        owner = tasks.get(by_key.get(one.key, ""), "")
        result.append(replace(one, owner=owner) if owner else one)
    return result


def undelivered(count: int, oldest_us: int | None, now: int) -> str:
    """Why what is unseen is not known."""
    what = "1 alert could not be delivered" if count == 1 else f"{count:,} alerts could not be delivered"
    return what if oldest_us is None else f"{what} for {span(max(0, now - oldest_us))}"


def acked(row: Row | None, size: int, now: int) -> bool:
    """Whether a person has seen it: an acknowledgement lapses by time, or when the thing grows twofold."""
    if row is None:
        return False
    at, until, then = row[4], row[6], row[7]
    return at is not None and until > now and size < 2 * max(1, 1 if then is None else then)


def prover(channels: Sequence[Channel], now: int) -> Watch:
    """Who proves that alerts come through: as old as the proof of the channel that was proven longest ago."""
    if not channels:
        return Watch("prover", PROOF_US, None, "no channel is set up", needed=False)
    ages = [None if one.proven_us is None else max(0, now - one.proven_us) for one in channels]
    oldest = None if None in ages else max(age for age in ages if age is not None)
    return Watch("prover", PROOF_US, oldest, ", ".join(one.name for one in channels))
