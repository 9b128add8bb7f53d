"""From a view-model to text: HTML by Jinja2 with everything escaped, or JSON; both from one object."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ..model.spans import ago, span
from .assets import STATIC

TEMPLATES = STATIC.parent / "templates"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RELATIVE = re.compile(r"(<time\b[^>]*>)[^<]*(</time>)")


def iso(us: int) -> str:
    """``2026-11-24T05:54:34.123456Z``."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def when(us: int | None, now_us: int, *, exact: bool = False) -> Markup:
    """An instant as ``<time>``: how long ago (a script keeps it true), the full text on demand."""
    if us is None:
        return Markup('<span class="none">–</span>')
    full = (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%d %H:%M:%S")
    words = full[5:] + f".{us // 1000 % 1000:03}" if exact else ago(us, now_us)
    kind = "exact" if exact else "ago"
    return Markup('<time datetime="{}" data-kind="{}" title="{} UTC">{}</time>').format(
        iso(us), kind, full, words
    )


def age(us: int | None, now_us: int) -> Markup:
    """How long something has lasted, as ``<time>``: "6m 12s"."""
    if us is None:
        return Markup('<span class="none">–</span>')
    full = (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" data-kind="age" title="since {} UTC">{}</time>').format(
        iso(us), full, span(now_us - us)
    )


def count(number: int | None) -> str:
    """A number with thousands separated; a dash where there is none."""
    return "–" if number is None else f"{number:,}"


def lasting(us: int | None) -> str:
    """A span of time in at most two units."""
    return "–" if us is None else span(us)


def short(job_id: str) -> str:
    """An id as people compare it: its beginning and its end."""
    return f"{job_id[:8]}…{job_id[-6:]}"


def bare(kind: str | None) -> str:
    """An exception's name without its module."""
    return (kind or "").rpartition(".")[2]


def plural(number: int, one: str, many: str = "") -> str:
    """``1 job``, ``1,204 jobs``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


@cache
def environment() -> Environment:
    """The templates; a name that a template invents is an error, not an empty text."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    found.filters |= {
        "when": when,
        "age": age,
        "count": count,
        "lasting": lasting,
        "short": short,
        "iso": iso,
        "bare": bare,
    }
    found.globals |= {"plural": plural, "escape": escape}
    return found


def html(template: str, context: dict[str, Any]) -> str:
    """One page, or with ``layout="fragment.html"`` only what is in the middle of it."""
    return environment().get_template(template).render(context)


def document(schema: str, model: object) -> bytes:
    """The ``.json`` twin of a page, from the same view-model."""
    body = msgspec.to_builtins(model, enc_hook=_plain)
    head = {"schema": f"dutiful/page.{schema}/1"}
    return msgspec.json.encode({**head, **body} if isinstance(body, dict) else {**head, "rows": body})


def tag(text: str | bytes) -> str:
    """The ETag of a fragment: the same while only "3 s ago" has become "5 s ago"."""
    if isinstance(text, str):
        text = _RELATIVE.sub(r"\1\2", text).encode()
    return f'"{hashlib.sha256(text).hexdigest()[:24]}"'


def _plain(value: object) -> object:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="backslashreplace")
    return str(value)
