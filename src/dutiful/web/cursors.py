"""Cursors: where a page of a list begins, as one word in the address that nobody needs to read."""

from __future__ import annotations

import base64
import binascii

from ..model.ids import parse_id


def of_death(at_us: int, job_id: str) -> str:
    """The cursor behind a job that died at that instant."""
    return base64.urlsafe_b64encode(f"{at_us}.{job_id}".encode()).decode().rstrip("=")


def to_death(text: str | None) -> tuple[int, str] | None:
    """What :func:`of_death` made; None for anything else: then the list begins at its start."""
    if not text:
        return None
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        at, _, job_id = found.partition(".")
        return (int(at), parse_id(job_id)) if abs(int(at)) < 1 << 62 else None
    except (ValueError, binascii.Error, UnicodeDecodeError):
        return None
