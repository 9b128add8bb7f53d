"""One question to the page: by whom, where, with which filters; and how it reads the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from ..model.operators import Operator
from ..operations.plan import Operation

if TYPE_CHECKING:
    from .site import Site

T = TypeVar("T")

FORM_CHARS_MAX = 200_000
TEXT_CHARS_MAX = 400
"""Longer values of a filter are cut: nobody types them."""


@dataclass(frozen=True, slots=True)
class Revealed:
    """What a verb shows once, in its own answer: never in an address, and kept nowhere."""

    job_id: str
    args: str | None
    result: str | None


@dataclass
class Ask:
    """A request, as the screens and verbs see it. ``root`` is where the page is mounted, without a slash."""

    site: Site
    operator: Operator
    root: str
    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    """What the address names, as ``{"id": …}``."""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    token: str = ""
    theme: str = ""
    lands: str = ""
    """Where a verb wants its person to go, if not back."""
    shows: Revealed | None = None
    """What a verb answers with, if it is not a place to go to."""
    polls: bool = False
    """There is no stream of hints here (WSGI): the page asks by itself."""

    def run(self, operation: Operation[T]) -> T:
        """Read the store."""
        return self.site.reader.run(operation)

    def may(self, permission: str, queue: str | None = "*", task: str | None = "*") -> bool:
        """Whether this person has the permission there, and the page may write at all."""
        looks = permission in ("view", "view_args", "reveal_secrets")
        return self.operator.may(permission, queue=queue, task=task) and (looks or not self.site.readonly)

    def text(self, name: str) -> str | None:
        """A filter of the address; None where it is absent or empty."""
        return _first(self.query, name)

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """All values of a filter that may be given several times."""
        return tuple(one[:TEXT_CHARS_MAX] for one in self.query.get(name, ())[:most] if one)

    def said(self, name: str) -> str:
        """A field of the form."""
        return _first(self.form, name, FORM_CHARS_MAX) or ""

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A number of the address, within bounds; what is none is the default."""
        try:
            return max(low, min(high, int(self.text(name) or default)))
        except ValueError:
            return default

    def link(self, path: str, **filters: object) -> str:
        """An address of this page, with those filters that are set; a tuple gives one several times."""
        given = [
            (name, str(one))
            for name, value in filters.items()
            for one in (value if isinstance(value, tuple) else (value,))
            if one not in (None, "", False)
        ]
        return f"{self.root}{path}" + (f"?{urlencode(given)}" if given else "")

    def here(self, **changes: object) -> str:
        """This very address with some filters changed."""
        now: dict[str, object] = {name: tuple(values) for name, values in self.query.items() if values}
        for one in ("said", "sign"):
            now.pop(one, None)
        return self.link(self.path, **(now | changes))


def _first(given: Mapping[str, Sequence[str]], name: str, chars: int = TEXT_CHARS_MAX) -> str | None:
    values = given.get(name)
    return values[0][:chars].replace("\0", "") if values and values[0] else None
