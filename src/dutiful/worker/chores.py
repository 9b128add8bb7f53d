"""Chores: what any worker does for all, safe when doubled. Reaping, sweeping, forgetting.

The brake: a pass that would mark many workers dead at once may be looking at a stalled database, and
running everything again would keep that down. So it waits, once, for one more lease; then it goes on.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..app import events
from ..app.events import emit
from ..model.brake import FORGET_LEASES, Brake
from ..model.errors import DutifulError
from ..model.jobs import Due, Lane
from ..operations import actions, bulk, claims, doubts, gates, retention, workers
from . import bulks, liveness, verifying
from .bookkeeping import Bookkeeping
from .coming import Coming
from .options import SWEEP_S
from .part import Part
from .places import record_folder
from .watching import Watching

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

PREPARE_S = 3600.0
PRUNE_S = 600.0
PRUNE_REST = 4
"""A piece is followed by so many times its duration without one: whoever writes gets the file meanwhile."""
DUTIES_S = 60.0
DUTIES_REST_S = 600.0
"""So long there is no look at duties after all of them were looked at."""
FILES_S = 3600.0
PROVE_S = 30.0
VERIFY_S = 60.0
MEND_S = 10.0
PEOPLE_S = 5.0
TOLD_S = 2.0
"""The same where beats tell of it, which are up to three seconds old."""
SLICE_S = 1.0
SOON_S = 0.1
FORGET_S = 3600.0
GATES_S = 600.0
BEAT_S = 15.0
"""A watcher says at most so often that it looked."""


class Chores:
    """Does each chore in its time, from one thread."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._host = socket.gethostname()
        options = worker.options
        self._brake = Brake(lease_s=options.lease_s)
        self._cursor = retention.START
        self._pieces: Iterator[bool] | None = None
        self._stop = threading.Event()
        self._beside: list[Part] = [Watching.of(worker), Bookkeeping.of(worker)]
        self._beat_at: dict[str, float] = {}
        self._looked = worker.looks.looked
        self._thread = threading.Thread(target=self._work, name="dutiful-chores", daemon=True)
        start = time.monotonic()
        self._due: dict[Callable[[], float | None], tuple[float, float]] = {
            self.reap: (start + options.reap_s * random.random(), options.reap_s),
            self.sweep: (start, SWEEP_S),
            self.prepare: (start, PREPARE_S),
            self.prune: (start + PRUNE_S * random.random(), PRUNE_S),
            self.prune_duties: (start + DUTIES_S * random.random(), DUTIES_S),
            self.prove: (start + PROVE_S * random.random(), PROVE_S),
            self.forget_files: (start + FILES_S * random.random(), FILES_S),
            self.verify: (start + VERIFY_S * random.random(), VERIFY_S),
            self.go_on: (start + PEOPLE_S * random.random(), PEOPLE_S),
            self.forget_people: (start + FORGET_S * random.random(), FORGET_S),
            self.forget_gates: (start + GATES_S * random.random(), GATES_S),
        }
        if worker.app.gated:  # who waits at a gate is of a task that only such a worker knows
            self._beside.append(Coming(worker.engine, worker.queues))
            self._due[self.mend] = (start + MEND_S * random.random(), MEND_S)

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        for part in self._beside:
            part.start()

    def stop(self) -> None:
        """End after the chore that is under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)
        for part in self._beside:
            part.stop()

    def _work(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self.turn()

    def turn(self) -> float:
        """Do the chore that is due, if one is; returns for how many seconds none is."""
        chore, (at, period) = min(self._due.items(), key=lambda item: item[1][0])
        if at > time.monotonic():
            return at - time.monotonic()
        self._due[chore] = (time.monotonic() + period * random.uniform(0.9, 1.1), period)
        try:
            again_s = chore()
            if again_s is not None:
                self._due[chore] = (time.monotonic() + again_s, period)
        except DutifulError as error:
            emit(logger, logging.WARNING, events.CHORE_FAILED, chore=chore.__name__, error=str(error))
        except Exception:
            logger.exception("chore_failed chore=%r", chore.__name__)
        return 0.0

    def _watched(self, name: str, period_s: float, app: str = "") -> None:
        """Say that who watches has looked; not every time, where it looks more often than anybody asks."""
        period_s = max(period_s, BEAT_S)
        now = time.monotonic()
        if now >= self._beat_at.get(name, 0.0):
            self._beat_at[name] = now + 0.9 * period_s
            self._looked(name, period_s, app)

    # ── reaping ─────────────────────────────────────────────────────────────────────────────

    def reap(self) -> None:
        """Mark dead workers gone, and take back what they held."""
        engine = self._worker.engine
        # On SQLite all workers share this host, so the kernel says who is dead: its lock is free.
        dead = self._known_dead() if engine.name == "sqlite" else []
        told = self._worker.heart.told(self._worker.options.reap_s)
        due = (None if told is None else told.due) or engine.run(workers.due())
        silent, unreaped = due.silent, due.unreaped
        if silent and not dead and not self._may_reap(due):
            silent = 0
        elif due.braked_us is not None and not dead:
            engine.run(workers.let_go())
        if silent or dead:
            dead = dead or self._known_dead()  # elsewhere it proves of some silent ones that they are dead
            unreaped += len(engine.run(workers.bury(dead, silent=bool(silent))))
        if unreaped:
            self._lapse()
        self._watched("reaper", self._worker.options.reap_s)

    def _may_reap(self, due: Due) -> bool:
        worker = self._worker
        own = worker.heart.beaten(worker.options.lease_s)
        noted_s = None if due.braked_us is None else due.braked_us / 1e6
        if self._brake.may_reap(due.alive, due.silent, own, time.monotonic(), noted_s):
            return True
        emit(logger, logging.WARNING, events.REAP_BRAKED, alive=due.alive, silent=due.silent, own_beats=own)
        if self._brake.braking:
            worker.engine.run(workers.brake(round(FORGET_LEASES * worker.options.lease_s * 1e6)))
        return False

    def _known_dead(self) -> list[int]:
        """The workers of this host whose process is gone, as the kernel says."""
        engine = self._worker.engine
        if getattr(engine, "memory", False):
            return []
        return [
            row.id
            for row in engine.run(workers.live())
            if row.file is not None and row.host == self._host and liveness.is_dead(row.file)
        ]

    def _lapse(self) -> None:
        engine = self._worker.engine
        gone = engine.run(workers.unreaped())
        recorded, begun, files = [], [], []
        for row, host, file in gone:
            if file is None or host != self._host:
                continue
            found = liveness.begun(file)
            if found is not None and liveness.is_dead(file):
                recorded.append(row)
                begun += found
                files.append(file)
        while True:
            lapsed = engine.run(workers.lapse(recorded, begun))
            for job in lapsed:
                emit(
                    logger,
                    logging.ERROR if job.last or job.doubt else logging.WARNING,
                    events.JOB_LAPSED,
                    job_id=job.job_id,
                    run_no=job.run_no,
                    suspect=job.begun and not job.doubt,
                    dead=job.last,
                    in_doubt=job.doubt,
                )
            if len(lapsed) < 1000:
                break
        left = {row for row, _, _ in engine.run(workers.unreaped())}
        for row, _, file in gone:
            if row not in left and file in files and file is not None:
                liveness.remove(file)
        if lapsed:
            for queue in self._worker.queues:
                engine.wake(queue)

    # ── the others ──────────────────────────────────────────────────────────────────────────

    def sweep(self) -> None:
        """Give jobs that claims passed by a new place. Once per cluster and set of tasks."""
        worker = self._worker
        marks = worker.fetcher.marks.values
        if not any(marks.values()):
            return
        known = worker.app.known()
        name = f"sweep:{worker.app.name}:{zlib.crc32(repr(sorted(known.items())).encode()):08x}"
        lanes = [Lane(lane, mark) for lane, mark in marks.items() if mark]
        worker.engine.run(claims.sweep(lanes, known, name, round(SWEEP_S * 1e6)))

    def mend(self) -> None:
        """Look for gates at which somebody waits though a place is free."""
        engine = self._worker.engine
        if not engine.run(workers.turn("mend", round(MEND_S * 1e6))):
            return
        after = 0
        while found := engine.run(gates.jams(after)):
            if engine.run(gates.mend(found)):
                for queue in self._worker.queues:
                    engine.wake(queue)
            after = found[-1]

    def go_on(self) -> float | None:
        """Go on for a second with bulk operations that nobody walks, and with the audit's chain."""
        until = time.monotonic() + SLICE_S

        def wait(seconds: float) -> bool:
            return seconds > 0 or time.monotonic() > until or self._stop.is_set()

        worker = self._worker
        told = worker.heart.told(PEOPLE_S)
        left = None if told is None else told.left
        if left is None:
            chains, walks = worker.engine.run(bulk.left(worker.app.name))
        else:
            chains, walks = left.chains, left.walks
        if chains:
            bulks.chain(worker.engine)
        more = walks and bulks.walk_all(worker.engine, worker.app.name, f"worker {worker.id}", wait)
        return SOON_S if more else TOLD_S if left is not None else None

    def forget_people(self) -> None:
        """Forget ids of actions and bulk operations that are long over."""
        if self._worker.engine.run(workers.turn("forget_people", round(FORGET_S * 1e6))):
            self._worker.engine.run(actions.forget())
            self._worker.engine.run(bulk.forget())

    def forget_gates(self) -> None:
        """Forget gates that nobody has used for hours, for a second at most; the rest follows."""
        if not self._worker.engine.run(workers.turn("forget_gates", round(GATES_S * 1e6))):
            return
        until = time.monotonic() + SLICE_S
        while self._worker.engine.run(gates.forget()).looked == gates.FORGET_MAX:
            if time.monotonic() > until or self._stop.is_set():
                return

    def prepare(self) -> None:
        """Make room for the history of the days to come."""
        if self._worker.engine.run(workers.turn("prepare", round(PREPARE_S * 1e6))):
            self._worker.engine.run(retention.prepare())

    def prune(self) -> float | None:
        """Forget endings that are older than the app keeps them: a piece, and after a rest the next."""
        if self._pieces is None:
            if not self._worker.engine.run(workers.turn("prune", round(PRUNE_S * 1e6))):
                return None
            self._pieces = self._forget()
        pieces, self._pieces = self._pieces, None
        began = time.monotonic()
        if next(pieces, None) is None:
            return None
        self._pieces = pieces
        return max(SOON_S, PRUNE_REST * (time.monotonic() - began))

    def _forget(self) -> Iterator[bool]:
        engine, keep_us = self._worker.engine, self._worker.app.keep_us
        while engine.run(retention.prune(keep_us)):
            yield True
        for what in retention.RUNS:
            after: int | None = -1
            while after is not None:
                yield True
                after = engine.run(retention.prune_runs(what, keep_us, after))

    def prune_duties(self) -> float | None:
        """Forget duties that are remembered no longer, a piece at a time; rest when all were looked at."""
        if not self._worker.engine.run(workers.turn("prune_duties", round(DUTIES_S * 1e6))):
            return DUTIES_REST_S
        for _ in range(10):
            self._cursor = self._worker.engine.run(retention.prune_duties(self._cursor)).cursor
            if self._cursor == retention.START:
                return DUTIES_REST_S
        return None

    def prove(self) -> None:
        """Of workers that fell silent and left doubts: which of this host's are surely dead by now."""
        engine, told = self._worker.engine, self._worker.heart.told(PEOPLE_S)
        some = told is None or told.left is None or told.left.doubts
        for row, host, file in engine.run(doubts.unproven()) if some else ():
            if host == self._host and liveness.is_dead(file):
                engine.run(doubts.prove(row))
        self._watched("sweeper", PROVE_S)

    def forget_files(self) -> None:
        """Remove files of workers whose rows were forgotten."""
        folder = record_folder(self._worker.engine)
        if Path(folder).is_dir():
            engine = self._worker.engine
            files = [row.file for row in engine.run(workers.live())]
            files += [file for _, _, file in engine.run(workers.unreaped())]
            liveness.sweep(folder, {os.path.basename(file) for file in files if file})

    def verify(self) -> float | None:
        """Look whether the invariants hold, about once a minute for each app; the log names what does not.

        Returns in how many seconds to look whether the next turn is this worker's, where this one was not.
        """
        app, engine = self._worker.app.name, self._worker.engine
        if engine.run(workers.turn(f"verify:{app}", round(VERIFY_S * 1e6))):
            verifying.look_over(engine, app, random.random(), self._stop.is_set)
            if not self._stop.is_set():
                self._looked("checker", VERIFY_S, app)
            return None
        return VERIFY_S / 4  # whose turn it was may be gone before the next
