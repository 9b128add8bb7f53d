"""A shop with something of every kind, for the page's tests and pictures."""

from __future__ import annotations

from typing import Annotated

import dutiful
from dutiful.model.jobs import NewWorker
from dutiful.model.redaction import Secret
from dutiful.operations import workers
from dutiful.operations.plan import as_json
from dutiful.testing import run_all

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
