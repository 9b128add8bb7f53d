"""The part of a worker that watches: keeps the verdict, raises alerts, and sends what is to be told.

One worker of the app looks for all; each that has channels sends what is due through them. Its thread is its
own, so that a channel that hangs holds up nothing but alerts.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

import msgspec

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.alerts import Alerts, Message
from ..model.verdict import Verdict
from ..operations import alerts, traces, workers
from ..operations.alerts import Taken
from .part import Part
from .sending import NotSent, post, send

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

WATCH_S = 30.0
DECLARE_S = 600.0
FORGET_S = 3600.0
HEARTBEAT_S = 60.0
TRACE_KEEP_US = 30 * 86_400_000_000


class Watching(Part):
    """Watches over one app, from one thread."""

    def __init__(self, engine: Engine, app: str, settings: Alerts | None, watch_s: float = WATCH_S) -> None:
        super().__init__("watch", "dutiful-watching")
        self._engine = engine
        self._app = app
        self._alerts = settings if settings is not None else Alerts()
        self._watch_s = watch_s
        self._declare_at = 0.0
        self._forget_at = 0.0

    @classmethod
    def of(cls, worker: Worker) -> Watching:
        """A worker's."""
        return cls(worker.engine, worker.app.name, worker.app.alerts)

    def _first(self) -> float:
        return self._watch_s * random.random() / 3

    def _go(self) -> float:
        self.turn()
        return self._pause()

    def _pause_after(self, error: Exception) -> float:
        return self._pause()

    def _pause(self) -> float:
        return self._watch_s * random.uniform(0.9, 1.0)

    def turn(self) -> Verdict | None:
        """One round; the verdict, if it was this worker's turn to look."""
        engine, app = self._engine, self._app
        self._declare()
        verdict = None
        if engine.run(workers.turn(f"watch:{app}", round(self._watch_s * 0.8e6))):
            verdict = engine.run(alerts.watch(app))
            if time.monotonic() >= self._forget_at:
                self._forget_at = time.monotonic() + FORGET_S
                self._forget()
        self.deliver()
        if verdict is not None:
            self._beat(verdict)
        return verdict

    def _forget(self) -> None:
        engine, app = self._engine, self._app
        if engine.run(workers.turn(f"forget_alerts:{app}", round(0.9e6 * FORGET_S))):
            engine.run(alerts.forget(app))
            engine.run(traces.forget(TRACE_KEEP_US))

    def _declare(self) -> None:
        channels = self._alerts.channels
        if channels and time.monotonic() >= self._declare_at:
            self._engine.run(alerts.declare(self._app, {one.name: one.kind for one in channels}))
            self._declare_at = time.monotonic() + DECLARE_S

    def deliver(self) -> int:
        """Send what is due now; returns how many messages came through."""
        channels = {one.name: one for one in self._alerts.channels}
        done = 0
        while channels and not self._stop.is_set():
            # One by one, so that the lease of none runs out while another one's channel hangs.
            taken = self._engine.run(alerts.take(self._app, list(channels), 1))
            if not taken:
                break
            done += self._tell(taken[0])
        return done

    def _tell(self, one: Taken) -> bool:
        quiet = self._alerts.quiet
        until = (
            None if quiet is None or one.event == "proof" else quiet.until(one.message.severity, one.now_us)
        )
        if until is not None:
            self._engine.run(alerts.hold(one, until))
            return False
        channel = self._alerts.find(one.channel)
        assert channel is not None
        try:
            send(channel, self._linked(one.message))
        except NotSent as error:
            self._engine.run(alerts.failed(self._app, one, str(error)))
            emit(
                logger, logging.ERROR, events.ALERT_FAILED, channel=one.channel, key=one.key, tries=one.tries,
                error=str(error),
            )  # fmt: skip
            return False
        self._engine.run(alerts.sent(self._app, one))
        emit(logger, logging.INFO, events.ALERT_SENT, channel=one.channel, key=one.key, told=one.event)
        return True

    def _linked(self, message: Message) -> Message:
        page = self._alerts.page
        return msgspec.structs.replace(message, link=f"{page}/{message.link}" if page else "")

    def _beat(self, verdict: Verdict) -> None:
        """Tell an outside dead-man service that alerts work; say nothing when they do not."""
        url = self._alerts.heartbeat
        if url is None or verdict.number("unseen").unknown:
            return
        if not self._engine.run(workers.turn(f"heartbeat:{self._app}", round(HEARTBEAT_S * 0.8e6))):
            return
        four = {one.name: one.amount for one in verdict.numbers}
        body = {"app": verdict.app, "verdict": verdict.state, "headline": verdict.headline, "numbers": four}
        try:
            post(url, msgspec.json.encode(body))
        except NotSent as error:
            emit(logger, logging.WARNING, events.HEARTBEAT_FAILED, error=str(error))
