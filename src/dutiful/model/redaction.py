"""What of a job's arguments and errors people may see: secrets are masked, and doubt hides all.

A value is secret if its annotation says so (``Annotated[str, Secret]``), or if it stands under a name
that sounds like one (``password``, ``api_key``, …). What was hidden in the arguments is hidden wherever
it comes back: in an error's text, a traceback, a result. It *fails closed*: whatever cannot be read
whole, or raises while it is being masked, is not shown at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MASK: Final = "•••• redacted"
FAILED: Final = "redacted: formatter failed"
TOO_LARGE: Final = "not shown: too large to be checked for secrets"
ARGS_BYTES_MAX: Final = 65_536
"""Larger arguments are not shown on a page; whoever may see them can download them whole."""

VALUE_CHARS_MIN: Final = 4
"""Shorter secrets are not looked for in other text: masking every "1" would hide the text itself."""


class Secret:
    """Marks a task's parameter whose values people must not see: ``card: Annotated[str, Secret]``."""


DENIED: Final = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential",
    "authorization", "cookie", "session", "cvv", "cvc", "cardnumber", "iban", "ssn", "pin", "otp",
)  # fmt: skip
"""Names of values that are secret unless an app says otherwise; compared without case, "_" and "-"."""

WHOLE: Final = frozenset({"pin", "otp", "ssn", "cvv", "cvc", "session", "card", "iban"})
"""Of these, only the whole name counts: "spinner" is no pin."""

_SAID = re.compile(
    r"(?i)\b((?:pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|"
    r"cookie|credential)s?[\"']?\s*(?:[=:]|\bis\b)\s*)(\"[^\"]*\"|'[^']*'|(?:Bearer|Basic)\s+\S+|[^\s,;)\]}]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_USERINFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class Shown:
    """Text that may be shown; ``hidden`` are the values that were masked in it."""

    text: str
    hidden: tuple[str, ...] = ()
    whole: bool = True
    """False: it was not shown at all, and ``text`` says why."""


@dataclass(frozen=True)
class Redactor:
    """The rules of one app. ``marked`` are the secret parameters by task; ``rule`` is the app's own.

    ``rule(task, path)`` gets a value's path as ``("order", "card")`` and returns whether it is secret (None:
    the other rules decide). What it raises hides the whole value.
    """

    marked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    denied: tuple[str, ...] = DENIED
    rule: Callable[[str, tuple[str, ...]], bool | None] | None = None

    def args(self, task: str, data: bytes | None, *, indent: int | None = 2) -> Shown:
        """Stored JSON as text, secrets masked, numbers exactly as they are stored. Never raises."""
        if data is None:
            return Shown("")
        if len(data) > ARGS_BYTES_MAX:
            return Shown(TOO_LARGE, whole=False)
        return self.document(task, data, indent=indent)

    def document(self, task: str, data: bytes, *, indent: int | None = 2) -> Shown:
        """The same for a document of any size."""
        try:
            found = json.loads(bytes(data), parse_int=_Exact, parse_float=_Exact, parse_constant=_Exact)
            hidden: list[str] = []
            masked = self._masked(task, found, (), hidden)
            # A number is kept as the text that is stored, and written between marks that no text can hold.
            text = json.dumps(masked, indent=indent, ensure_ascii=False)
            return Shown(_NUMBER.sub(r"\1", text), tuple(hidden))
        except Exception:
            return Shown(FAILED, whole=False)

    def text(self, said: str | None, hidden: Iterable[str] = (), *, whole: bool = True) -> str:
        """An error's text without what was hidden in the arguments. Never raises.

        ``whole`` is that of the arguments: if they could not be read, nobody knows what to look for, and
        only what names itself a secret is masked where no parameter of the task is marked. Else: nothing.
        """
        try:
            text = said or ""
            for value in sorted(set(hidden), key=len, reverse=True):
                if len(value) >= VALUE_CHARS_MIN:
                    text = text.replace(value, MASK)
                    text = text.replace(json.dumps(value)[1:-1], MASK).replace(repr(value)[1:-1], MASK)
            text = _SAID.sub(lambda found: f"{found[1]}{MASK}", text)
            text = _BEARER.sub(lambda found: f"{found[1]} {MASK}", text)
            text = _USERINFO.sub(lambda found: f"{found[1]}{MASK}@", text)
        except Exception:
            return FAILED
        return text if whole else TOO_LARGE

    def _masked(self, task: str, value: Any, path: tuple[str, ...], hidden: list[str]) -> Any:
        if path and self._secret(task, path):
            hidden.extend(_texts(value))
            return MASK
        if isinstance(value, dict):
            return {name: self._masked(task, one, (*path, name), hidden) for name, one in value.items()}
        if isinstance(value, list):
            return [self._masked(task, one, (*path, str(place)), hidden) for place, one in enumerate(value)]
        if isinstance(value, _Exact):
            return f"{_OPEN}{value.text}{_CLOSE}"
        if isinstance(value, str) and (_OPEN in value or _CLOSE in value):
            return value.replace(_OPEN, "�").replace(_CLOSE, "�")
        return value

    def _secret(self, task: str, path: tuple[str, ...]) -> bool:
        if self.rule is not None and (answer := self.rule(task, path)) is not None:
            return answer
        if len(path) == 1 and path[0] in self.marked.get(task, ()):
            return True
        name = path[-1].lower().replace("_", "").replace("-", "")
        return any(name == one if one in WHOLE else one in name for one in self.denied)


class _Exact:
    """A number as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text


_OPEN, _CLOSE = "\ue0a0", "\ue0a1"
_NUMBER = re.compile(f'"{_OPEN}([^"{_CLOSE}]*){_CLOSE}"')


def _texts(value: Any) -> Iterable[str]:
    """Every text and number inside a value, which may come back in an error."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, _Exact):
        yield value.text
    elif isinstance(value, str):
        yield value


def secret_parameters(annotations: Mapping[str, Any]) -> frozenset[str]:
    """The parameters whose annotations are marked :class:`Secret`."""
    return frozenset(
        name
        for name, annotation in annotations.items()
        if any(mark is Secret or isinstance(mark, Secret) for mark in getattr(annotation, "__metadata__", ()))
    )
