"""Cursors: where a page of a list begins, as one word in the address that nobody needs to read."""

from __future__ import annotations

import base64
import binascii

from ..model.ids import parse_id


def of_death(at_us: int, job_id: str) -> str:
    """The cursor behind a job that died at that instant."""
    return base64.urlsafe_b64encode(f"{at_us}.{job_id}".encode()).decode().rstrip("=")


def of_group(at_us: int, fingerprint: str) -> str:
    """The cursor behind a group whose last death was at that instant."""
    return of_death(at_us, fingerprint)


def to_group(text: str | None) -> tuple[int, str] | None:
    """What :func:`of_group` made; None for anything else."""
    return _read(text)


def to_death(text: str | None) -> tuple[int, str] | None:
    """What :func:`of_death` made; None for anything else: then the list begins at its start."""
    found = _read(text)
    try:
        return (found[0], parse_id(found[1])) if found is not None else None
    except ValueError:
        return None


def _read(text: str | None) -> tuple[int, str] | None:
    if not text:
        return None
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        at, _, key = found.partition(".")
        return (int(at), key) if abs(int(at)) < 1 << 62 and "\0" not in key else None
    except (ValueError, binascii.Error, UnicodeDecodeError):
        return None
