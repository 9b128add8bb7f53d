"""A pass over a million expected duties: how long it takes, and that it costs no memory.

``python -m tests.scale.reconcile [--duties 1000000] [--engine postgres|sqlite] [--wrong]``: a window full of
orders with a receipt each, but for three; with ``--wrong`` no receipt at all, where the governor stops at
twenty. The same over a tenth as many comes first: the difference of the two peaks is what duties cost in
memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from devtools.servers import PostgresServer
from tests.contract.markets import ORDERS, RECEIPTS, Market, counted


def seed(market: Market, duties: int, *, done: bool) -> None:
    """Orders of the last six days, and their receipts but for three."""
    first, last = market.shown(market.clock.at_us - 6 * 86_400_000_000), market.shown(market.clock.at_us)
    if market.app.engine.name == "postgres":
        at = f"timestamptz '{first}' + i * (timestamptz '{last}' - timestamptz '{first}') / {duties + 1}"
        rows = f"generate_series(1, {duties}) AS i"
    else:
        at = f"datetime('{first}', '+' || (i * 500000 / {duties}) || ' seconds')"
        counting = f"VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {duties}"
        rows = f"(WITH RECURSIVE n(i) AS ({counting}) SELECT i FROM n)"
    market.sql(f"INSERT INTO {ORDERS} SELECT i, {at} FROM {rows}")
    if done:
        market.sql(f"INSERT INTO {RECEIPTS} SELECT id, paid_at FROM {ORDERS} WHERE id > 3")


def measure(url: str, duties: int, *, done: bool) -> None:
    """One pass in this process; prints what it took."""
    market = Market(url)
    seed(market, duties, done=done)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    began, cpu = time.monotonic(), time.process_time()
    result = market.sweep()
    took, used = time.monotonic() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    said = result.made.governed.said or "let through"
    print(
        f"{market.app.engine.name} {duties:,} duties: {took:.1f} s ({used:.1f} s of CPU here), "
        f"memory {before} to {peak} MiB; {counted(result)}, {result.enqueued} enqueued, governor: {said}",
        flush=True,
    )
    market.close()


def main() -> None:
    """Each size in a process of its own, so that its peak is its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--duties", type=int, default=1_000_000)
    parser.add_argument("--engine", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--wrong", action="store_true")
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.url:
        measure(given.url, given.duties, done=not given.wrong)
        return
    for duties in (given.duties // 10, given.duties):
        with TemporaryDirectory() as folder:
            here = [sys.executable, "-m", "tests.scale.reconcile", "--duties", str(duties)]
            here += ["--wrong"] if given.wrong else []
            if given.engine == "sqlite":
                subprocess.run([*here, "--url", f"sqlite:///{Path(folder) / 'scale.db'}"], check=True)
                continue
            with PostgresServer() as server:
                subprocess.run([*here, "--url", server.url()], check=True)


if __name__ == "__main__":
    main()
