"""What a check has to say: one kind, one subject, one sentence, why it matters, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal["well", "note", "bad", "unknown", "skipped"]

NAMES_MAX = 3
NO_SUCH = "No task is declared so."

WHY = {
    "store": "All jobs are there: without it none is stored and none is run.",
    "schema": "Code and tables of different versions do not understand each other.",
    "the rest": "Nothing is well that was not looked at.",
    "settings": "Nothing is well that was not looked at.",
    "tasks": "Nothing is well that was not looked at.",
    "build": "Old builds have a race in which commits are lost.",
    "journal_mode": "In rollback mode every reader waits for every writer, and the other way round.",
    "file system": "On a network file system locks hold in name only, so two hosts may write at once.",
    "log": "A log that nobody empties makes reads slow, and fills the disk.",
    "server": "The promises are tested on PostgreSQL 13 and newer, on a server that can be written.",
    "fsync": "Without it a crash of the machine may leave a database that cannot be read any more.",
    "full_page_writes": "Without it a crash of the machine may leave pages that are half old, half new.",
    "synchronous_commit": "Whether a job that is done, or was accepted, can be undone by a crash.",
    "synchronous": "Whether a job that is done, or was accepted, can be undone by a loss of power.",
    "at_most_once": "A start that a failover forgets is made a second time.",
    "autovacuum": "Claims and endings leave dead rows behind; uncleared, each claim wades through them.",
    "snapshots": "As long as it is held, no dead row that is younger can be cleared away, in any table.",
    "transaction ids": "At 2 billion the server takes no more writes until it has been vacuumed.",
    "connections": "At the limit workers cannot connect, their beats stop, and their jobs lapse.",
    "pooler": "A transaction pooler lends one session to many: prepared statements and LISTEN break.",
    "terminate": "A session that hangs with a row lock must be ended by somebody, or its jobs wait for it.",
    "clock": "Instants in logs and job ids come from this host, all judgements from the server.",
    "workers": "Jobs are run by living workers that know their task, and by nobody else.",
    "timeouts": "A body may take its timeout; a shutdown that leaves it less cuts it off in the middle.",
    "calls": "A call that is still out when its task's time is up has an outcome that nobody knows.",
    "ledger horizon": "A duty that is forgotten while it may still be asked for is done a second time.",
}
"""Why a subject is looked at; that of "workers of shop" is "workers"."""


class Note(Struct, frozen=True):
    """``hint`` is what to do about it."""

    kind: Kind
    subject: str
    text: str
    hint: str = ""

    @property
    def why(self) -> str:
        """Why it matters."""
        return WHY.get(self.subject) or WHY.get(self.subject.partition(" of ")[0], "")


def well(subject: str, text: str) -> Note:
    """As it should be."""
    return Note("well", subject, text)


def note(subject: str, text: str, hint: str = "") -> Note:
    """Worth knowing; nobody must act."""
    return Note("note", subject, text, hint)


def bad(subject: str, text: str, hint: str = "") -> Note:
    """A person must act."""
    return Note("bad", subject, text, hint)


def unknown(subject: str, text: str, hint: str = "") -> Note:
    """It could not be looked at, so nobody may take it for well."""
    return Note("unknown", subject, text, hint)


def skipped(subject: str, because: str, hint: str = "") -> Note:
    """It was not looked at, for a reason that lies in how the doctor was called, or in what is there."""
    return Note("skipped", subject, f"Not looked at, because {because}", hint)


def named(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ", ".join(sorted(names)[:NAMES_MAX]) + more
