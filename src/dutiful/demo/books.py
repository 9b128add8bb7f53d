"""The reckoning: the file of orders against the bank's own records, and whether that shows what it should.

Nothing here asks a queue or a worker: what they believe does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .bank import Charge
from .orders import Order

NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Book:
    """One lane: what should have been charged, and what was."""

    letter: str
    title: str
    orders: int
    charged: int
    """How many charges the bank made."""
    lost: tuple[str, ...]
    """Orders without a charge."""
    doubled: tuple[str, ...]
    """Orders with more than one."""
    surplus: int
    """How many charges were too many."""
    wrong: tuple[str, ...]
    """Charges for no order of the file, or of another amount."""

    @property
    def exact(self) -> bool:
        """Each order charged once, with its amount, and nothing else."""
        return not (self.lost or self.surplus or self.wrong) and self.charged == self.orders


def keep(letter: str, title: str, orders: Sequence[Order], charges: Sequence[Charge]) -> Book:
    """Compare the orders with the charges made for that lane."""
    own = [charge for charge in charges if charge.lane == letter]
    known = {order.id: order for order in orders}
    counts = Counter(charge.order_id for charge in own)
    wrong = [charge.order_id for charge in own if not _fits(charge, known.get(charge.order_id))]
    return Book(
        letter,
        title,
        orders=len(orders),
        charged=len(own),
        lost=tuple(order.id for order in orders if not counts[order.id]),
        doubled=tuple(order_id for order_id, count in counts.items() if count > 1),
        surplus=sum(count - 1 for count in counts.values()),
        wrong=tuple(wrong),
    )


def _fits(charge: Charge, order: Order | None) -> bool:
    return order is not None and (charge.cents, charge.currency) == (order.cents, order.currency)


def shortcomings(a: Book, b: Book, c: Book) -> list[str]:
    """What the books do not show as they should; empty if they do."""
    found = []
    if c.lost:
        found.append(f"lane C lost {_named(c.lost)}.")
    if c.surplus:
        found.append(f"lane C charged more than once: {_named(c.doubled)}.")
    if c.wrong:
        found.append(f"lane C charged what was not ordered: {_named(c.wrong)}.")
    if not a.lost:
        found.append("lane A lost nothing, although workers died after it had acknowledged.")
    if not b.surplus:
        found.append("lane B charged nothing twice, although workers died before it had acknowledged.")
    return found


def table(books: Sequence[Book], remarks: dict[str, str]) -> list[str]:
    """The books as lines of text."""
    lines = [f"{'':<15}{'orders':>8}{'charged':>9}{'lost':>6}{'doubled':>9}"]
    for book in books:
        name = f" {book.letter} {book.title}"
        numbers = f"{book.orders:>8}{book.charged:>9}{len(book.lost):>6}{book.surplus:>9}"
        lines.append(f"{name:<15}{numbers}    {remarks.get(book.letter, '')}".rstrip())
    return lines


def _named(orders: Sequence[str]) -> str:
    more = f" and {len(orders) - NAMED_MAX} more" if len(orders) > NAMED_MAX else ""
    noun = "order" if len(orders) == 1 else "orders"
    return f"{len(orders)} {noun} ({', '.join(orders[:NAMED_MAX])}{more})"
