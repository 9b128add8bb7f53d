"""The cause of a death as a short name, the same for deaths with one cause.

A fingerprint is taken over the task, the exception's type, the innermost frames of the user's own code (their
functions, no line numbers, which every release moves), and the message with all masked that differs from one
death to the next: numbers, ids, addresses, quoted text. Deaths without an exception are named by their reason
and task, ``poison:send``.
"""

from __future__ import annotations

import hashlib
import re
from types import TracebackType

FRAMES = 3
TITLE_CHARS_MAX = 200
OWN_CHARS_MAX = 100
"""The longest fingerprint that a task's own function may give."""

_MASKS = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<id>"),
    (re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|«[^»]*»|“[^”]*”"), "<text>"),
    (
        re.compile(r"\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"),
        "<hex>",
    ),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_NOT_OURS = ("/site-packages/", "/dist-packages/", "\\site-packages\\", "<frozen ", "/lib/python", "\\lib\\")


def masked(message: str) -> str:
    """The message without what differs from one death to the next, one line of at most 200 characters."""
    text = message[: 10 * TITLE_CHARS_MAX]
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return text.strip()[:TITLE_CHARS_MAX]


def frames(trace: TracebackType | None) -> list[str]:
    """The innermost frames of the user's own code, outermost first; without any, the innermost of all."""
    own: list[str] = []
    last = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        last = f"{module}.{code.co_qualname}"
        ours = module == "dutiful" or module.startswith("dutiful.")
        if not ours and not any(part in code.co_filename for part in _NOT_OURS):
            own.append(last)
        trace = trace.tb_next
    return own[-FRAMES:] or [last]


def fingerprint(task: str, kind: str, message: str, trace: TracebackType | None) -> str:
    """Sixteen hexadecimal digits for the cause of a death that an exception tells of."""
    parts = [task, kind, *frames(trace), masked(message)]
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def own_fingerprint(task: str, said: object) -> str | None:
    """What a task's own function said, made fit to be kept; None if it is no text to go by."""
    if not isinstance(said, str) or not said.strip():
        return None
    return f"{task}:{re.sub(r'[^ -~]+', '?', said.strip())}"[:OWN_CHARS_MAX]
