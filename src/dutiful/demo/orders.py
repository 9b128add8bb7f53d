"""The orders to be charged: read from a CSV file, bad rows told by their line.

Columns, in any order, others are ignored: ``order_id``, ``customer``, ``amount_cents``, ``currency``,
``placed_at`` (ISO 8601 with a time zone).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..model.errors import InvalidOption

SHIPPED = Path(__file__).with_name("orders.csv")
ORDERS_MAX = 500
"""So many of a file are taken; more would take longer than anybody watches."""
CENTS_MAX = 10**9

CHECKS: dict[str, tuple[Callable[[str], bool], str]] = {
    "order_id": (
        lambda text: re.fullmatch(r"[!-~]{1,60}", text) is not None,
        "is not 1 to 60 characters of ASCII without spaces",
    ),
    "customer": (
        lambda text: text.isprintable() and 0 < len(text) <= 200,
        "is not 1 to 200 printable characters",
    ),
    "amount_cents": (
        lambda text: re.fullmatch(r"[0-9]{1,10}", text) is not None and 0 < int(text) <= CENTS_MAX,
        f"is not a whole number of cents from 1 to {CENTS_MAX}",
    ),
    "currency": (
        lambda text: re.fullmatch(r"[A-Z]{3}", text) is not None,
        "is not three capital letters, as EUR",
    ),
    "placed_at": (lambda text: _is_instant(text), "is not a time like 2026-03-01T09:30:00+01:00"),
}

HEADER = f"The first line names the columns: {','.join(CHECKS)}"


@dataclass(frozen=True, slots=True)
class Order:
    """One order; ``cents`` is in hundredths of ``currency``."""

    id: str
    customer: str
    cents: int
    currency: str
    placed_at: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: the line it begins on, and what is wrong with it."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class OrderFile:
    """What was found in a file. ``left_over`` good rows were not taken, for there were too many."""

    path: Path
    orders: tuple[Order, ...]
    bad: tuple[BadRow, ...]
    left_over: int = 0


def read_orders(path: Path | None, *, at_least: int) -> OrderFile:
    """All good rows, and what is wrong with the others.

    Raises InvalidOption if the file cannot be read, has not the columns, or too few good rows.
    """
    path = SHIPPED if path is None else path
    orders: dict[str, tuple[int, Order]] = {}
    bad: list[BadRow] = []
    left_over = 0
    for line, row in _rows(path, bad):
        problem = _problem(row) or _repeated(row, orders)
        if problem:
            bad.append(BadRow(line, problem))
        elif len(orders) == ORDERS_MAX:
            left_over += 1
        else:
            orders[row["order_id"]] = line, _order(row)
    if len(orders) < at_least:
        listed = "".join(f"\nline {row.line}: {row.problem}" for row in bad[:10])
        raise InvalidOption(
            f"{path} has {_count(len(orders), 'good row')}; this takes at least {at_least}.",
            hint=f"So that every crash has orders of its own: more orders, or fewer --kills.{listed}",
        )
    return OrderFile(path, tuple(order for _, order in orders.values()), tuple(bad), left_over)


def _rows(path: Path, bad: list[BadRow]) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row by column, with the line it begins on; a row of another length is bad."""
    try:
        file = path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InvalidOption(f"The orders in {path} cannot be read: {error.strerror or error}.") from None
    with file:
        reader = csv.reader(file)
        header = _header(path, reader)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                bad.append(BadRow(line, f"is no row of CSV: {error}"))
                continue
            except OSError as error:
                raise InvalidOption(f"The orders in {path} cannot be read: {error}.") from None
            if not cells:
                continue
            if len(cells) != len(header):
                bad.append(BadRow(line, f"has {_count(len(cells), 'field')} instead of {len(header)}"))
                continue
            yield line, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip().lower() for name in next(reader)]
    except StopIteration:
        raise InvalidOption(f"{path} is empty.", hint=HEADER) from None
    except (csv.Error, OSError) as error:
        raise InvalidOption(f"The orders in {path} cannot be read: {error}.") from None
    missing = [name for name in CHECKS if name not in header]
    if missing:
        raise InvalidOption(
            f"{path} has no column {', '.join(missing)} in its first line.",
            hint=HEADER,
        )
    return header


def _problem(row: dict[str, str]) -> str:
    for name, (is_good, complaint) in CHECKS.items():
        text = row[name]
        if not is_good(text):
            shown = text if len(text) <= 40 else f"{text[:37]}…"
            return f"{name} {shown!r} {complaint}"
    return ""


def _repeated(row: dict[str, str], orders: dict[str, tuple[int, Order]]) -> str:
    known = orders.get(row["order_id"])
    return f"order_id {row['order_id']!r} stands in line {known[0]} already" if known else ""


def _order(row: dict[str, str]) -> Order:
    return Order(
        row["order_id"], row["customer"], int(row["amount_cents"]), row["currency"], row["placed_at"]
    )


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        return False


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
