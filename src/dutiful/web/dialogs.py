"""What a dialog asks before something is done, and what a verb of the page is."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from ..supervise.desk import action_id
from .asking import Ask


class Field(Struct, frozen=True):
    """A field of a dialog. ``kind``: "text", "choice" (with ``options``), "check" or "long"."""

    name: str
    label: str
    kind: str = "text"
    needed: bool = False
    value: str = ""
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()


class Bucket(Struct, frozen=True):
    """So many of the jobs that are meant, what becomes of them, and why."""

    count: int
    words: str
    whys: tuple[str, ...] = ()


class Dialog(Struct, frozen=True):
    """What is asked before something is done. ``words`` say what will happen, and what will not."""

    title: str
    words: tuple[str, ...]
    button: str
    action: str
    back: str
    fields: tuple[Field, ...] = ()
    careful: bool = False
    seen: str = ""
    buckets: tuple[Bucket, ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    action_id: str = field(default_factory=action_id)
    now_us: int = 0


class Verb(Struct, frozen=True):
    """Something that can be done: where, what is asked before, and what does it; ``needs`` a permission."""

    name: str
    path: str
    dialog: Callable[[Ask], Dialog]
    act: Callable[[Ask], str]
    needs: str


REASON = Field("reason", "Reason", hint="for the audit")
REASON_NEEDED = Field("reason", "Reason", needed=True, hint="for the audit")
