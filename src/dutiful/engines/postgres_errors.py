"""psycopg's errors in our own words."""

from __future__ import annotations

import re
import sys
from typing import Any

from ..model import errors

_RERUN = {"40001", "40P01"}
"""Serialization failure, deadlock: the whole operation again."""

_GONE = {"57P01", "57P02", "57P03", "57P04", "57P05"}
"""The server ended the session, or takes none: not 57014, a statement that was cancelled."""

_OURS = ("dutiful.", '"dutiful"')


def is_rerun(error: Any) -> bool:
    """Whether the same operation may well succeed if begun again."""
    return getattr(error, "sqlstate", None) in _RERUN


def is_stale(error: Any) -> bool:
    """Whether a cached plan went stale (a migration meanwhile): nothing was done."""
    return getattr(error, "sqlstate", None) == "0A000" and "cached plan" in str(error)


def translated(error: Any, shown: str, *, connecting: bool = False) -> Exception:
    """The error that a user should see; one that is not ours comes back as it is."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)  # as psycopg2 calls it
    text = " ".join(str(error).split())
    if state in ("42P01", "3F000") and any(word in text for word in _OURS):
        return errors.SchemaMissing(f"{shown} has no tables of dutiful's.")
    if state == "55P03":
        return errors.StoreBusy(f"Another transaction in {shown} holds what this one needs ({text}).")
    if state == "25006":
        return errors.StoreReadOnly(f"{shown} is read-only ({text}).")
    if state == "53100":
        return errors.StoreFull(f"{shown} is out of disk space ({text}).")
    if state in ("28P01", "28000", "3D000"):
        return errors.StoreUnreachable(
            f"{shown} refused us ({text}).", hint="Check user, password and database name in the URL."
        )
    psycopg = sys.modules.get("psycopg")  # a caller's connection may be another library's
    if (
        psycopg is not None
        and isinstance(error, psycopg.OperationalError)
        and (connecting or state is None or state[:2] == "08" or state in _GONE)
    ):
        return errors.StoreUnreachable(f"{shown} cannot be reached ({text}).")
    return error  # type: ignore[no-any-return]


def masked(url: str) -> str:
    """The URL for people and logs: without its password."""
    return re.sub(r"(://[^:/@\s]*):[^@/]*@", r"\1:***@", url)
