"""What must hold when the world has come to rest, whatever went wrong before."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from dutiful.operations import verify
from tests.simulation import shop
from tests.simulation.scheduler import SECOND
from tests.simulation.watch import Broken

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

__all__ = ["Broken", "at_the_end", "taken_over"]


def taken_over(simulation: Simulation, held: dict[str, str], since_us: int) -> None:
    """L1: what the dead held when faults stopped lapses within two leases and a few looks."""
    if since_us < 2.5 * simulation.lease_us + 10 * SECOND:
        return
    fates = simulation.watch.fates
    left = [job for job, token in held.items() if token not in fates]
    if left:
        raise Broken(f"L1: {left} are still held by dead workers {since_us / SECOND:.1f} s after the faults")


def at_the_end(simulation: Simulation) -> None:
    """All of them; raises Broken."""
    for check in CHECKS:
        check(simulation)


def checker_is_content(simulation: Simulation) -> None:
    findings = simulation.store.look(verify.check(None, full=True))
    if findings:
        raise Broken(f"verify: {findings}")


ALL = (
    "SELECT id, task, key, args FROM dutiful_history UNION SELECT id, task, key, args FROM dutiful_dead"
    " UNION SELECT id, task, key, args FROM dutiful_job"
)


def nothing_is_lost(simulation: Simulation) -> None:
    there = {row[0] for row in simulation.store.rows(ALL)}
    lost = simulation.acknowledged.keys() - there
    if lost:
        raise Broken(f"lost: {sorted(lost)} were acknowledged, and are nowhere")


def each_request_once(simulation: Simulation) -> None:
    """A request without a key is one job, however often it was asked for."""
    requests: dict[tuple[str, bytes], set[str]] = {}
    for id, task, key, args in simulation.store.rows(ALL):
        if key is None and json.loads(args)["n"] < shop.FOLLOWER:  # those are asked for by every run
            requests.setdefault((task, args), set()).add(id)
    doubled = {request: sorted(ids) for request, ids in requests.items() if len(ids) > 1}
    if doubled:
        raise Broken(f"these requests were stored more than once: {doubled}")


def done_by_a_run(simulation: Simulation) -> None:
    """The body was begun, it returned, and the run that returned held the token."""
    watch, bodies = simulation.watch, simulation.bodies
    rows = simulation.store.rows(
        "SELECT id, run_no, attempt, last_token FROM dutiful_history WHERE outcome = 'performed'"
    )
    for job, run_no, attempt, token in rows:
        if (job, run_no) not in bodies.returned:
            raise Broken(f"{job} is done by its run {run_no}, whose body did not return")
        if watch.tokens.get(token) != (job, run_no):
            raise Broken(f"{job} is done with a token that is not that of run {run_no}")
        if attempt > run_no:
            raise Broken(f"{job} was tried more often than it ran")
        if not simulation.store.rows("SELECT 1 FROM work WHERE job = ?", job):
            raise Broken(f"{job} is done, and its work is not there")
    wrong = [job for job, count in watch.accepted.items() if count > 1]
    if wrong:
        raise Broken(f"two workers were told that theirs is the completion of {wrong}")


def begun_once_a_run(simulation: Simulation) -> None:
    """A run's body is begun once; of exactly_once, again after "locked"."""
    begun = simulation.bodies.begun
    names = dict(
        simulation.store.rows("SELECT id, task FROM dutiful_history UNION SELECT id, task FROM dutiful_dead")
    )
    twice = [key for key, count in begun.items() if count > 1 and names.get(key[0]) not in shop.EXACTLY_ONCE]
    if twice:
        raise Broken(f"these runs were begun twice: {twice}")


def worked_exactly_once(simulation: Simulation) -> None:
    """I1, I6: the work of an exactly_once duty is there once, if and only if a job of it is done."""
    rows = simulation.store.rows
    for task in sorted(shop.EXACTLY_ONCE):
        worked = Counter(rows("SELECT duty, epoch FROM work WHERE task = ?", task))
        done = set(
            rows(
                "SELECT coalesce(key, id), epoch FROM dutiful_history"
                " WHERE task = ? AND outcome = 'performed'",
                task,
            )
        )
        twice = [duty for duty, times in worked.items() if times > 1]
        if twice:
            raise Broken(f"the work of {task} was done more than once for {twice}")
        if worked.keys() != done:
            raise Broken(
                f"{task}: worked for {sorted(worked.keys() - done)} and did not say so,"
                f" or said so and did not work: {sorted(done - worked.keys())}"
            )
        ledger = set(rows("SELECT key, epoch FROM dutiful_ledger WHERE task = ?", task))
        if ledger != done:
            raise Broken(f"{task}: the ledger says {sorted(ledger ^ done)} otherwise than the history")


def called_once(simulation: Simulation) -> None:
    """I3, I15: an effect that is done was applied, once; (more often is noticed when it happens)."""
    for key, result in simulation.store.rows("SELECT key, result FROM dutiful_effect WHERE state = 'done'"):
        if simulation.provider.applied[key] != 1:
            raise Broken(
                f"effect {key} is done ({result}), and was applied {simulation.provider.applied[key]} times"
            )
    for (key,) in simulation.store.rows("SELECT key FROM dutiful_effect WHERE state = 'refused'"):
        if simulation.provider.applied[key]:
            raise Broken(f"effect {key} is refused, and was applied")


def each_duty_once(simulation: Simulation) -> None:
    """A declared key is performed once for each epoch, as it is remembered for longer than we look."""
    done = Counter(
        simulation.store.rows(
            "SELECT task, key, epoch FROM dutiful_history WHERE outcome = 'performed' AND key IS NOT NULL"
        )
    )
    twice = [duty for duty, times in done.items() if times > 1]
    if twice:
        raise Broken(f"these duties (task, key, epoch) were performed more than once: {twice}")


def workers_have_left(simulation: Simulation) -> None:
    """The last workers stopped in order: their rows say so, and nobody is beaten for."""
    left = simulation.store.rows("SELECT id, pid FROM dutiful_worker WHERE gone_at IS NULL AND NOT alone")
    dead = [row for row in left if row[1] in simulation.last_pids]
    if dead:
        raise Broken(f"these left without a word: {dead}")


CHECKS = (
    checker_is_content,
    nothing_is_lost,
    each_request_once,
    done_by_a_run,
    begun_once_a_run,
    worked_exactly_once,
    called_once,
    each_duty_once,
    workers_have_left,
)
