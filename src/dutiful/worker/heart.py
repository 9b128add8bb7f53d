"""The heartbeat: a thread and an engine of its own, so that nothing that is busy can lose the lease.

It measures from before it asked: the lease is trusted until then plus its length, less a margin.
After that nothing more is started; what runs may complete all the same, for the fence decides.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.jobs import Beat
from ..operations import workers
from .looked import WithBeats, rows

logger = logging.getLogger("dutiful.worker")


_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def steady_now() -> float:
    """Seconds that only go forward, and go on while the machine is suspended (where it can tell)."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class Heart:
    """Beats for a worker and its children.

    ``marks`` gives what new workers may start from; ``on_beat`` gets each reply; ``on_expelled`` is
    called when the worker was marked gone, and must register it anew before it returns.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_s: float,
        beat_s: float,
        ids: Callable[[], list[int]],
        own: Callable[[], int],
        marks: Callable[[], dict[int, int]],
        on_beat: Callable[[Beat], None],
        on_expelled: Callable[[], None],
        looks: WithBeats,
    ) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._beat_s = beat_s
        self._margin_s = max(lease_s / 10, min(beat_s, lease_s / 4))
        self._ids = ids
        self._own = own
        self._marks = marks
        self._on_beat = on_beat
        self._on_expelled = on_expelled
        self._looks = looks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dutiful-heart", daemon=True)
        self._confirmed: list[float] = []
        self._told: tuple[float, Beat | None] = (0.0, None)
        self.trusted_until = 0.0

    def start(self, asked_at: float) -> None:
        """Begin; the worker's row was asked for at ``asked_at`` (:func:`steady_now`)."""
        self.trust_from(asked_at)
        self._thread.start()

    def trust_from(self, asked_at: float) -> None:
        """A lease that was renewed, or taken, by what was sent at ``asked_at``."""
        self._confirmed.append(asked_at)
        self.trusted_until = asked_at + self._lease_s - self._margin_s

    @property
    def trusted(self) -> bool:
        """Whether the worker may start something now."""
        return steady_now() < self.trusted_until

    @property
    def age_s(self) -> float:
        """How long ago the last confirmed beat was sent."""
        return steady_now() - (self._confirmed[-1] if self._confirmed else 0.0)

    def beaten(self, within_s: float) -> int:
        """How many beats were confirmed within the last so many seconds: for the reaper's brake."""
        since = steady_now() - within_s
        return sum(at >= since for at in self._confirmed)

    def told(self, within_s: float) -> Beat | None:
        """What a beat of the last so many seconds told on the way."""
        at, beat = self._told
        return beat if at >= steady_now() - within_s else None

    def stop(self) -> None:
        """Beat no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def beat(self) -> bool:
        """Beat once; False: this worker was held for dead, and began anew."""
        asked_at = steady_now()
        marks = msgspec.json.encode({str(k): v for k, v in self._marks().items()}).decode()
        looks = self._looks.waiting()
        beat = self._engine.run(workers.beat(self._ids(), marks, rows(looks)))
        self._looks.said(looks)
        lives = self._own() in beat.alive
        if lives:
            self.trust_from(asked_at)
            self._told = asked_at, beat
            del self._confirmed[:-200]
        else:
            self._on_expelled()
        self._on_beat(beat)
        return lives

    def _work(self) -> None:
        risky = False
        while not self._stop.wait(self._beat_s):
            try:
                if self.beat():
                    risky = False
            except Exception as error:
                if not self.trusted and not risky:
                    risky = True
                    emit(
                        logger,
                        logging.ERROR,
                        events.LEASE_AT_RISK,
                        silent_s=round(self.age_s, 1),
                        error=str(error),
                    )


def read_marks(texts: Iterable[str]) -> list[dict[int, int]]:
    """The marks that living workers wrote into their beats."""
    return [{int(lane): mark for lane, mark in msgspec.json.decode(text).items()} for text in texts]
