"""A shop with something of every kind, for the page's tests and pictures."""

from __future__ import annotations

import time
from typing import Annotated, Any

from msgspec.structs import replace

import dutiful
from dutiful.check.hashing import Hashes
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Failure, Lane, NewJob, NewWorker
from dutiful.model.locks import LockAsk
from dutiful.model.operators import Operator
from dutiful.model.reconcile import Governed, Rule
from dutiful.model.redaction import Secret
from dutiful.operations import (
    acks,
    alerts,
    bulk,
    claims,
    drills,
    enqueue,
    groups,
    lanes,
    locks,
    metrics,
    page_deeds,
    queues,
    reconcile,
    reconcile_verbs,
    registry,
    schedules,
    settle,
    starts,
    waivers,
    workers,
)
from dutiful.operations.bulk import Wanted
from dutiful.operations.plan import as_json
from dutiful.operations.reconcile import Counts, Found, Pass
from dutiful.testing import run_all
from dutiful.worker.bookkeeping import declared_of

SECRET = "hunter2-is-secret"


class CardDeclined(Exception):
    """As a provider would say it."""


def make(url: str) -> dutiful.App:
    """The app, with its tasks."""
    app = dutiful.App("shop", url, release="2026.11.2")
    app.queue("mail", target="2m")
    app.queue("billing", target="5s", limit=4)

    @app.task(name="shop.send_receipt", queue="mail", once="receipt:{order_id}", retry=0, owner="mail team")
    def send_receipt(order_id: int, to: str) -> None:
        if order_id % 3 == 0:
            raise TimeoutError(f"no answer from smtp-{order_id % 7}.example after 30 s")

    @app.task(name="shop.charge", queue="billing", once="charge:{order_id}", retry=0, owner="billing")
    def charge(order_id: int, password: str, card: Annotated[str, Secret]) -> None:
        raise CardDeclined(f"card {card} of order {order_id} declined; password {password}")

    @app.task(name="shop.resize", retry=3)
    def resize(path: str, width: int = 800) -> None:
        if width > 4000:
            raise ValueError(f"{path} is too wide: {width}")

    @app.schedule("0 3 * * *", tz="Europe/Berlin", name="report:nightly")
    @app.task(name="shop.report", queue="reports")
    def report() -> None:
        return None

    return app


def fill(app: dutiful.App, orders: int = 24) -> dict[str, str]:
    """Jobs in all states; returns ids by what they are."""
    tasks = app.tasks
    ids: dict[str, str] = {}
    for number in range(1, orders + 1):
        ids[f"receipt {number}"] = tasks["shop.send_receipt"].enqueue(number, f"c{number}@example.com").id
    charge = tasks["shop.charge"]
    ids["secret"] = charge.enqueue(8812, password=SECRET, card="4111-secret-card").id
    for number in range(3):
        tasks["shop.resize"].enqueue(f"/photos/{number}.jpg")
    run_all(app)
    ids["waiting"] = tasks["shop.resize"].enqueue("/photos/later.jpg", width=1200).id
    tasks["shop.resize"].using(run_in="2h").enqueue("/photos/tomorrow.jpg")
    app.engine.run(
        workers.register(
            NewWorker(
                app=app.name,
                host="web-2",
                pid=911,
                release="2026.11.2",
                lease_us=10**12,
                concurrency=8,
                queues=as_json(["mail", "billing", "default"]),
                tasks=as_json(app.known()),
            )
        )
    )
    return ids


def furnish(app: dutiful.App, ids: dict[str, str]) -> dict[str, str]:
    """Something for every screen to show beside jobs; returns what addresses name, by the router's words."""
    run = app.engine.run
    ann = Operator("ann", perms="operator")
    declare(app)
    run(alerts.declare(app.name, {"ops": "webhook", "mail": "smtp"}))
    ids["message"] = run(page_deeds.try_channel(app.name, "ops", actor="ann"))
    [message] = run(alerts.take(app.name, ["ops"], 1))
    run(alerts.failed(app.name, message, "the answer was HTTP 500"))
    run(alerts.watch(app.name))
    run(locks.ask(LockAsk(app.name, "deploy", "one", 1, 10**12, "web-1", True)))
    run(locks.ask(LockAsk(app.name, "deploy", "two", 1, 10**12, "web-2", True)))
    report = app.schedules["report:nightly"].declared
    run(schedules.declare(app.name, 1, [report]))
    run(queues.pause(app.name, "billing", actor="ann", reason="the bank is closed"))
    doubt(app, ids)
    reconciled(app, ids)
    checked(app)
    ids["bulk"] = run(
        bulk.begin(app.name, "discard", Wanted(queue="mail"), actor=ann.id, reason="old", limit=2)
    ).id
    run(bulk.step(ids["bulk"], "a test"))
    ids["begun"] = run(bulk.begin(app.name, "retry", Wanted(), actor=ann.id, reason="mended", limit=3)).id
    ids["discarded"] = run(bulk.items(ids["bulk"], state="done"))[0].job_id
    clock = app.engine.clock
    app.engine.clock = lambda: time.time_ns() // 1000 + 120_000_000  # two minutes on, the minutes are whole
    while run(metrics.roll()):
        pass
    app.engine.clock = clock
    [first, *rest] = run(groups.groups(app.name))
    ids["group"] = first.fingerprint
    run(acks.acknowledge(app.name, f"group:{rest[0].fingerprint}", actor="ann", note_text="known"))
    return ids


def declare(app: dutiful.App) -> None:
    """What a worker says of its tasks."""
    app.engine.run(
        registry.register(app.name, "2026.11.1", [declared_of(task) for task in app.tasks.values()])
    )


def checked(app: dutiful.App) -> None:
    """One task drilled clean, one with findings, one whose drill could not be compared; a line is waived."""
    run = app.engine.run
    told = "receipts 1 → 2 rows   [order_id=7]"
    found = drills.Found(
        "X3", "X3 crash", "DU007", "after COMMIT #1 (shop/mail.py:41), rerun", told, "one tx"
    )
    played = {"X1": (3, 0), "X2": (9, 0), "X3": (7, 0), "X4": (2, 0), "X5": (9, 0)}
    clean = drills.NewDrill("shop.resize", "", "0.1.0", "sqlite", "clean", "", 30, 30, 64, 9_000_000)
    clean = replace(clean, code=Hashes().of(app.tasks["shop.resize"].function), played=played)
    bad = replace(clean, task="shop.charge", code="other", outcome="findings", findings=[found])
    bad = replace(bad, played={"X1": (3, 0), "X3": (7, 2)}, mode={"process": True})
    why = "Unseen I/O: socket to smtp.example."
    run(drills.record(app.name, replace(clean, outcome="findings", findings=[found]), by="ci"))
    run(drills.record(app.name, replace(clean, mode={"calls": 0}), by="ann"))
    run(drills.record(app.name, bad, by="ann"))
    run(drills.record(app.name, replace(bad, task="shop.report", outcome="not comparable", why=why), by="ci"))
    said = {"owner": "billing", "reason": "the bank takes a charge of any age"}
    run(waivers.waive(app.name, "shop.charge", "late", actor="ann", span_us=90 * DAY, **said))


def doubt(app: dutiful.App, ids: dict[str, str]) -> None:
    """A job of which nobody knows whether it was done."""
    run = app.engine.run
    job = NewJob(
        id=make_id(), task="shop.once", queue="doubts", priority=0, args=b"{}", args_hash="h",
        delivery="at_most_once",
    )  # fmt: skip
    run(enqueue.one(app.name, job))
    worker = run(workers.register(NewWorker(app.name, "web-3", 9, 10**12, 1, "[]", '{"shop.once":1}')))
    order = [Lane(one.id) for one in run(lanes.lanes(app.name))]
    [lease] = run(claims.claim(worker, order, {"shop.once": 1}, 1, promote=True)).leases
    run(starts.start(app.name, lease))
    why = "the body was cut off: its worker died"
    ending = Ending(
        "release", lease.job_id, lease.token, lease.run_no, begun=True, charged=False, reason=why,
        failure=Failure("CutOff", why), started=True,
    )  # fmt: skip
    run(settle.settle([ending], worker))
    ids["doubt"] = job.id


MINUTE = 60_000_000
DAY = 1440 * MINUTE


def reconciled(app: dutiful.App, ids: dict[str, str]) -> None:
    """Reconciliations in every state; "receipts" has findings of every class, "refunds" a stopped pass."""
    run = app.engine.run
    named = {
        "charges": "shop.charge", "invoices": "shop.invoice", "photos": "shop.resize",
        "receipts": "shop.send_receipt", "refunds": "shop.refund", "shipments": "shop.ship",
    }  # fmt: skip
    rules = {one: Rule(one, task, 10 * MINUTE, 15 * MINUTE, 7 * DAY) for one, task in named.items()}
    worker = run(workers.register(NewWorker(app.name, "web-4", 12, 10**12, 1, "[]", "{}")))
    run(reconcile.declare(app.name, worker, list(rules.values())))
    now = time.time_ns() // 1000
    counts = Counts(12_043, 12_004, 3, 20, 1, 1, 12, 1, 2, 1)
    held = [Found(f"refund:{n}", "missing", now - DAY) for n in range(60)]
    ids["stopped"] = str(_pass(app, "refunds", Counts(60, 0, missing=60), now, "stopped", found=held))
    _pass(app, "charges", Counts(8_812, 8_812), now)
    _pass(app, "receipts", counts, now - 3_600_000_000)
    found = [Found(f"receipt:{n}", "missing", now - n * 3_600_000_000, "", ids["waiting"]) for n in range(60)]
    found += [
        Found("receipt:77", "late", now - 9 * DAY, "", None),
        Found("receipt:78", "surplus", None, "is done 2 times"),
        Found("receipt:79", "stuck", now - DAY, f"job {ids['waiting']} is open", ids["waiting"]),
        Found("receipt:80", "people", now - DAY, f"job {ids['secret']} is dead", ids["secret"]),
    ]
    number = _pass(app, "receipts", counts, now, found=found, whole=False)
    run(reconcile.close(app.name, "receipts", number + 1, [f"receipt:{n}" for n in range(55, 60)]))
    run(reconcile.fail(app.name, "invoices", "OperationalError: no such table: invoices", 10 * MINUTE))
    run(reconcile_verbs.pause(app.name, "photos", actor="ann", reason="the archive moves", for_us=DAY))


def _pass(
    app: dutiful.App,
    name: str,
    counts: Counts,
    now: int,
    governor: str = "",
    *,
    found: Any = (),
    whole: bool = True,
) -> int:
    governed = Governed(20, governor)
    made = Pass(name, whole, "worker 4", now, now - 7 * DAY, now - 15 * MINUTE, counts, 20, governed)
    number, _ = app.engine.run(reconcile.act(app.name, made, None, list(found)))
    app.engine.run(reconcile.finish(app.name, made, number, now, "here", 10 * MINUTE))
    return number
