"""What a check has to say: one kind, one subject, one sentence, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["well", "note", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Note:
    """``hint`` is what to do about it."""

    kind: Kind
    subject: str
    text: str
    hint: str = ""


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
