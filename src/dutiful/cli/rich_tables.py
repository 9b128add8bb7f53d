"""Tables and progress on a real terminal, by rich (extra ``web``); never imported otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from .tables import Fitted

STYLES = {
    "dead": "red",
    "in doubt": "yellow",
    "running": "cyan",
    "done": "green",
    "retrying": "yellow",
    "LATE": "bold red",
}


def print_table(fitted: Fitted, width: int) -> None:
    """The same table as in plain text, its header bold and words of state in colour."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for column, wide in zip(fitted.columns, fitted.widths, strict=True):
        table.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis" if column.least else "crop",
            width=wide,
        )
    for row in fitted.rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell.partition(" (")[0], "")) for cell in row))
    Console(width=max(width, sum(fitted.widths) + 2 * len(fitted.widths)), highlight=False).print(table)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Progress]:
    """A bar on stderr; ``advance(task_ids[0])`` moves it."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[refused]}"),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        bar.add_task(title, total=total, refused="")
        yield bar
