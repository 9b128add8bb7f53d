"""The command line: ``./dev bench [--quick|--full] [--only NAME…] [--engine …] [--json FILE] …``."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
from pathlib import Path

from bench.chart import drawn
from bench.contestants import BY_NAME, PEERS
from bench.measures import ENGINES, MEASURES, chosen
from bench.report import machine, tables
from bench.run import Plan, run
from bench.sizes import DEFAULT, FULL, QUICK


def parser() -> argparse.ArgumentParser:
    names = ", ".join(dict.fromkeys(measure.name for measure in MEASURES))
    made = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measures dutiful, its floor and its peers. A report: it never fails for a figure.",
        epilog=f"Measures: {names}. Peers: {', '.join(PEERS)}.",
    )
    size = made.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="some minutes: one small round")
    size.add_argument(
        "--full", action="store_true", help="many hours: five long rounds, large churns for all"
    )
    made.add_argument(
        "--only", nargs="+", default=[], metavar="NAME",
        help="only measures whose name begins so (drain, latency, sqlite.drain …), or only these peers",
    )  # fmt: skip
    made.add_argument("--engine", choices=ENGINES, help="only this engine")
    made.add_argument("--rounds", type=int, metavar="N", help="rounds, instead of the size's own number")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    made.add_argument("--chart", type=Path, metavar="FILE", help="also draw the held snapshot's course (SVG)")
    made.add_argument("--no-peers", action="store_true", help="only dutiful and the floor")
    return made


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    sizes = QUICK if options.quick else FULL if options.full else DEFAULT
    if options.rounds is not None:
        if options.rounds < 1:
            parser().error("--rounds must be at least 1")
        sizes = dataclasses.replace(sizes, rounds=options.rounds)
    peers = [name for name in options.only if name in PEERS] or list(PEERS)
    names = [name for name in options.only if name not in PEERS]
    measures = chosen([options.engine] if options.engine else ENGINES, names)
    if not measures or any(not chosen(ENGINES, [name]) for name in names):
        parser().error(f"--only matches no measure: {' '.join(names)}")
    plan = Plan(measures, [] if options.no_peers else peers, sizes)
    results = run(plan)
    print(tables(results, measures, plan.peers))
    if options.json:
        found = {
            "date": datetime.date.today().isoformat(),
            "size": sizes.name,
            "sizes": dataclasses.asdict(sizes),
            "machine": machine(),
            "settings": {peer: BY_NAME[peer].settings() for peer in plan.peers},
            "measures": results.as_json(measures, plan.peers),
            "courses": results.courses(),
        }
        options.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    if options.chart:
        options.chart.write_text(drawn(results.courses()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
