"""Aligned tables in plain text, as wide as they are told to be.

A table that is too wide first leaves out its spare columns, the most spare ones first, then cuts its
flexible ones; ids and numbers are never cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from msgspec import Struct

GAP = "  "
FLOOR = 8
"""A flexible column is never narrower."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_BIDI = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)}
_UNSAFE = _CONTROL | _BIDI | {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
_UNSAFE_LINES = {code: text for code, text in _UNSAFE.items() if code not in (0x0A, 0x09)}


class Column(Struct, frozen=True):
    """One column. ``least``: may be cut to so many characters, and further only when no spare one is left;
    ``spare``: may be left out, the highest first."""

    title: str
    right: bool = False
    least: int = 0
    spare: int = 0


def shown(text: str, *, lines: bool = False) -> str:
    """Stored text made safe for a terminal: what would move its cursor or turn it round is spelt out."""
    return text.translate(_UNSAFE_LINES if lines else _UNSAFE)


def width_of(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def cut(text: str, width: int) -> str:
    """The text in at most so many cells, with an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    kept, used = [], 1
    for char in text:
        used += _cells(char)
        if used > width:
            break
        kept.append(char)
    return "".join(kept) + "…"


class Fitted(Struct, frozen=True):
    """A table that fits: which columns are left, how wide each is, and the cells."""

    columns: list[Column]
    widths: list[int]
    rows: list[list[str]]

    def lines(self) -> list[str]:
        """The header and the rows, aligned."""
        return [self._line([column.title for column in self.columns]), *map(self._line, self.rows)]

    def _line(self, cells: Sequence[str]) -> str:
        out = []
        for column, width, cell in zip(self.columns, self.widths, cells, strict=True):
            text = cut(cell, width)
            blank = " " * (width - width_of(text))
            out.append(blank + text if column.right else text + blank)
        return GAP.join(out).rstrip()


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Fitted:
    """Lay a table out within ``width`` cells; None is as wide as it needs."""
    cells = [[shown(cell) for cell in row] for row in rows]
    kept = list(range(len(columns)))
    natural = [
        max([width_of(column.title), *(width_of(row[at]) for row in cells)])
        for at, column in enumerate(columns)
    ]
    # A column with nothing in it says nothing.
    kept = [at for at in kept if not columns[at].spare or any(row[at] for row in cells)]
    widths = natural
    if width is not None:
        while _least(columns, natural, kept) > width and any(columns[at].spare for at in kept):
            kept.remove(max(kept, key=lambda at: (columns[at].spare, at)))
        widths = _narrowed(columns, natural, kept, width)
    return Fitted(
        [columns[at] for at in kept],
        [widths[at] for at in kept],
        [[row[at] for at in kept] for row in cells],
    )


def _least(columns: Sequence[Column], natural: list[int], kept: list[int]) -> int:
    """How wide the table is with its flexible columns cut as far as may be."""
    needs = [min(natural[at], columns[at].least or natural[at]) for at in kept]
    return sum(needs) + len(GAP) * (len(kept) - 1)


def _narrowed(columns: Sequence[Column], natural: list[int], kept: list[int], width: int) -> list[int]:
    """Take what is too much from the widest flexible columns; where need be, beyond what is comfortable."""
    widths = list(natural)
    over = sum(widths[at] for at in kept) + len(GAP) * (len(kept) - 1) - width
    for least in ([column.least for column in columns], [min(column.least, FLOOR) for column in columns]):
        while over > 0:
            flexible = [at for at in kept if columns[at].least and widths[at] > least[at]]
            if not flexible:
                break
            widest = max(flexible, key=lambda at: widths[at])
            next_widest = max(
                [least[widest], *(widths[at] for at in flexible if widths[at] < widths[widest])]
            )
            step = min(over, max(1, widths[widest] - next_widest))
            widths[widest] -= step
            over -= step
    return widths


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
