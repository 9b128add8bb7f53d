"""The big run: every task of the corpus with every scenario; prints what was caught, missed, or falsely told.

python -m tests.drill [--only NAME] [--limit N] [--no-postgres] [--first] [--kind bugs|right] [--part I/N]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Any

from dutiful.drill import Report, drill
from tests.drill.corpus import postgres
from tests.drill.corpus.everything import BUGS, RIGHT
from tests.drill.corpus.shop import Case


def play(case: Case, **options: Any) -> Report:
    """Drill one task of the corpus."""
    about = {"answers": case.answers, "siblings": case.siblings, "golden": case.golden}
    return drill(case.task, case.args, case.fixture, **about, **options)


@contextlib.contextmanager
def stands_on(url: str) -> Any:
    """The corpus's PostgreSQL app stands on this database meanwhile."""
    before = postgres.app.url
    postgres.app.url, postgres.app._engine = url, None
    try:
        yield
    finally:
        postgres.app.close()
        postgres.app.url, postgres.app._engine = before, None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--no-postgres", action="store_true")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="every N-th task, from the I-th")
    parser.add_argument("--kind", choices=("bugs", "right"))
    parser.add_argument("--first", action="store_true", help="end a bug's drill with the first finding")
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if not options.no_postgres:
            from devtools.servers import PostgresServer

            server = stack.enter_context(PostgresServer())
            stack.enter_context(stands_on(server.create_database("shop")))
        missed, false, counts, cpu = [], [], {"bugs": 0, "right": 0, "scenarios": 0}, time.process_time()
        for cases, kind in ((BUGS, "bugs"), (RIGHT, "right")):
            part, of = (int(number) for number in options.part.split("/"))
            for case in cases[part::of]:
                if options.kind not in (None, kind):
                    continue
                if (options.only and options.only not in case.name) or (
                    options.no_postgres and case.where == "postgres"
                ):
                    continue
                report = play(case, limit=options.limit, first=options.first and kind == "bugs")
                counts[kind] += 1
                counts["scenarios"] += report.scenarios
                found = ",".join(sorted({f"{one.scenario}:{one.rule}" for one in report.findings}))
                print(
                    f"{kind:5} {case.where:10} {case.name:36} {report.result:15}"
                    f" {report.scenarios:4} {report.seconds:6.1f} s {found}",
                    flush=True,
                )
                if kind == "bugs" and report.result == "clean":
                    missed.append(case.name)
                if kind == "right" and report.result != "clean":
                    false.append(case.name)
                    print(report.text())
                elif options.v or report.result == "not comparable":
                    print(report.text())
    print(f"{counts}; missed {missed}; false alarms {false}; {time.process_time() - cpu:.1f} s of CPU")
    return 1 if false or len(missed) > counts["bugs"] * 0.05 else 0


if __name__ == "__main__":
    sys.exit(main())
