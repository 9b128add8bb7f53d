"""Dramatiq on Redis: one message that is sent three times, to a worker with several threads."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker

from tests.processes.support.once_jobs import charge_once, note

broker = RedisBroker(url=os.environ["ONCE_BROKER"])
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=3)
def charge(order_id: int, cents: int = 100) -> None:
    """Dramatiq's decorator is the outer one: the body could stand here with once_per below it as well."""
    note(charge_once(order_id, cents))


decorated = dramatiq.actor(actor_name="decorated")(charge_once)


def main() -> None:
    for _ in range(3):
        charge.send(7)
    decorated.send(7)
    worker = Worker(broker, worker_timeout=100, worker_threads=4)
    worker.start()
    broker.join("default", timeout=60_000)
    worker.join()
    worker.stop()


if __name__ == "__main__":
    main()
