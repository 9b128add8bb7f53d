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
        """An address of this page, with those filters that are set."""
        given = [(name, str(value)) for name, value in filters.items() if value not in (None, "", False)]
        return f"{self.root}{path}" + (f"?{urlencode(given)}" if given else "")

    def here(self, **changes: object) -> str:
        """This very address with some filters changed."""
        now: dict[str, object] = {name: values[0] for name, values in self.query.items() if values}
        for one in ("said", "sign"):
            now.pop(one, None)
        return self.link(self.path, **(now | changes))


def _first(given: Mapping[str, Sequence[str]], name: str, chars: int = TEXT_CHARS_MAX) -> str | None:
    values = given.get(name)
    return values[0][:chars].replace("\0", "") if values and values[0] else None
