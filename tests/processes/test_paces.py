"""How soon starts of a rate follow one another while jobs wait, and how seldom anybody looks else."""

from __future__ import annotations

from dutiful import App, Rate
from dutiful.model.gates import Gate
from dutiful.operations import enqueue, inspect
from dutiful.worker.coming import Coming
from dutiful.worker.options import WorkerOptions
from dutiful.worker.worker import Worker
from tests.contract.stores import APP, new, opened
from tests.processes.gates import above

EACH_US = 20_000


def test_jobs_that_wait_start_as_soon_as_the_rate_allows(store_url: str) -> None:
    """Fifty a second, one at once: by looks twice a second the last of them would start after 20 s."""
    app = App("paced", store_url)
    app.migrate()

    @app.task(name="ask", rate=Rate(50, per="1s"))
    def ask() -> None:
        pass

    ids = [ask.enqueue().id for _ in range(40)]
    Worker(app, WorkerOptions(until_empty=True)).run()
    jobs = [app.engine.run(inspect.job("paced", job)) for job in ids]
    claimed = sorted(job.claimed_at_us or 0 for job in jobs)
    assert above(claimed, EACH_US, burst=1) == 0
    assert claimed[-1] - claimed[0] < 10_000_000
    app.close()


def test_a_rate_is_looked_at_soon_only_while_somebody_waits(store_url: str) -> None:
    """What was granted and does not begin is looked at ever more seldom; where nobody waits, not at all."""
    asked: list[str] = []
    with opened(store_url) as engine:
        run = engine.run

        def counted(operation):  # type: ignore[no-untyped-def]
            asked.append(operation.name)
            return run(operation)

        engine.run = counted  # type: ignore[method-assign]
        idle = Coming(engine, ["q"])
        idle.look()
        assert asked == ["come", "busy_rates"] and idle.soonest() is None
        rate = Gate("rate", "host", 0, per_us=EACH_US, burst=1)
        run(enqueue.many(APP, [new(None, gates=(rate,)) for _ in range(3)]))
        asked.clear()
        one = Coming(engine, ["q"])
        one.look()
        looks = 0
        while (at := one.soonest()) is not None:
            looks += 1
            one.grant_due(at)
        assert 3 <= looks <= 7 and len(asked) == 3 + looks
