"""What must be true after any schedule, by the tables and by what each session was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dutiful.model.jobs import Enqueued, Lapsed
from dutiful.operations import workers
from tests.interleavings.acts import CLAIMERS, Told
from tests.interleavings.scene import Scene
from tests.interleavings.stepping import Session

Tables = dict[str, list[dict[str, Any]]]
Answers = Sequence[tuple[str, Any]]
"""Acts by name, with what they answered."""

PEOPLE = ("cancel", "retry", "waive", "confirm", "refute", "unwaive")
STARTED = ("most", "most of the silent", "doubted")


def judge(scene: Scene, sessions: Sequence[tuple[str, Session]]) -> list[str]:
    """What is wrong; an empty list is good news."""
    found = []
    for name, session in sessions:
        if session.error is not None:
            found.append(f"{name} raised {session.error!r}")
    if found:
        return found
    answers = [(name, session.result) for name, session in sessions]
    tables = scene.look()
    for check in (nothing_lost, one_end_a_run, claims_apart, alive_or_gone, duties, starts, works, audits):
        found += check(scene, tables, answers)
    found += [str(finding) for finding in scene.verify()]
    if not found:
        found += nobody_left_behind(scene)
    return found


def nothing_lost(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """Every job that was there or was stored is in one place."""
    wanted = dict(scene.jobs)
    for name, answer in answers:
        if isinstance(answer, Enqueued):
            wanted[f"answer of {name}"] = answer.id
    there = Counter(row["id"] for table in ("job", "dead") for row in tables[table])
    ended = {row["id"] for row in tables["history"]}
    for name, id in wanted.items():
        if not there[id] and id not in ended:
            yield f"{name} is lost"
        if there[id] > 1:
            yield f"{name} is in two places"


def one_end_a_run(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """A run is ended by one who is told so, or lapses, or still owns its job; and the tables agree."""
    ends = ends_of(answers)
    tokens = {}
    for _, answer in answers:
        for item in answer if isinstance(answer, list) else ():
            if isinstance(item, Told):
                tokens[item.ending.job_id, item.ending.run_no] = item.ending.token
    started = {scene.jobs[name] for name in STARTED}
    for (job, run_no), verbs in ends.items():
        late = job in started and sorted(verbs)[-1] == "lapse" and len(verbs) == 2  # alive after all
        if len(verbs) > 1 and not late:
            yield f"run {run_no} of {job} ended by {verbs}"
    performed = {row["last_token"] for row in tables["history"] if row["outcome"] == "performed"}
    buried = {row["last_token"] for row in [*tables["dead"], *tables["job"]]}
    failed = {(row["job_id"], row["run_no"]) for row in tables["failure"]}
    running = {row["token"]: row for row in tables["job"] if row["state"] == "running"}
    for run, verbs in ends.items():
        token = tokens.get(run)
        if "complete" in verbs and token not in performed:
            yield f"run {run} was told that it is complete, and is not"
        if "bury" in verbs and token not in buried:
            yield f"run {run} was told that its job is dead, and it is not"
        if "fail" in verbs and run not in failed:
            yield f"run {run} failed, and nobody noted it"
        if token in running:
            yield f"run {run} has ended ({verbs}), and runs"


def ends_of(answers: Answers) -> dict[tuple[str, int], list[str]]:
    """How runs ended, by those who were told so."""
    ends: dict[tuple[str, int], list[str]] = {}
    for _, answer in answers:
        for item in answer if isinstance(answer, list) else ():
            if isinstance(item, Told) and item.stands:
                ends.setdefault((item.ending.job_id, item.ending.run_no), []).append(item.ending.verb)
        for lapsed in answer[1] if isinstance(answer, tuple) else ():
            if isinstance(lapsed, Lapsed):
                ends.setdefault((lapsed.job_id, lapsed.run_no), []).append("lapse")
    return ends


def claims_apart(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """No run was given to two, and what was claimed is its claimer's unless that run ended."""
    given: Counter[tuple[str, int]] = Counter()
    names: dict[tuple[str, int], str] = {}
    for name, answer in answers:
        if not name.startswith("claim"):
            continue
        if name == "claim one" and len(answer) > 1:
            yield f"{name} took {len(answer)}"
        for lease in answer:
            given[lease.job_id, lease.run_no] += 1
            names[lease.job_id, lease.run_no] = name
    for run, count in given.items():
        if count > 1:
            yield f"run {run} was given to {count}"
    last = {row["id"]: row["run_no"] for row in tables["job"]}
    gone = {row["id"] for row in tables["worker"] if row["gone_at"] is not None}
    ends = ends_of(answers)
    for (job, run_no), name in names.items():
        if job not in last:
            yield f"{name} took {job}, which is not there any more"
        elif last[job] < run_no:
            yield f"{name} took run {run_no} of {job}, whose last run is {last[job]}"
        elif last[job] > run_no and (job, run_no) not in ends and scene.workers[CLAIMERS[name]] not in gone:
            yield f"{name} took run {run_no} of {job}, which runs once more though that run did not end"
    if given:
        for row in tables["history"]:
            retried = row["id"] == scene.jobs["cancelled"]  # it was so at the beginning
            if row["state"] == "cancelled" and row["id"] in last and not retried:
                yield f"{row['id']} was cancelled, and is there"


def alive_or_gone(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """A worker that was told that it lives was not buried before; what lapsed was of a gone one."""
    silent = scene.workers["silent"]
    beaten = any(name.startswith("beat") and silent in answer for name, answer in answers)
    buried = {
        row[0]
        for name, answer in answers
        if name in ("bury workers", "reap")
        for row in (answer[0] if name == "reap" else answer)
    }
    gone = {row["id"] for row in tables["worker"] if row["gone_at"] is not None}
    left = {name for name, _ in answers}
    if beaten and silent in buried:
        yield "the silent worker was told that it lives, and was buried"
    expected = buried | ({silent} if "leave of the silent" in left else set())
    expected |= {scene.workers["busy"]} if "leave of the busy" in left else set()
    if gone - expected:
        yield f"workers {gone - expected} are gone, and nobody did that"
    own = {lease.job_id: lease for name, lease in scene.leases.items() if name.endswith("of the silent")}
    rows = {row["id"]: row for row in tables["job"]}
    for _, answer in answers:
        for lapsed in answer[1] if isinstance(answer, tuple) else ():
            if lapsed.job_id in own and silent not in gone:
                yield f"{lapsed.job_id} lapsed, and its worker lives"
            row = rows.get(lapsed.job_id)
            if row is not None and row["run_no"] == lapsed.run_no and row["state"] == "running":
                yield f"{lapsed.job_id} lapsed, and runs as before"


def duties(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """One open job a duty, and one of two equal enqueues is the first."""
    open_jobs = Counter(row["key"] for row in tables["job"] if row["key"] is not None)
    for key, count in open_jobs.items():
        if count > 1:
            yield f"{count} open jobs of duty {key}"
    first: Counter[str] = Counter()
    for name, answer in answers:
        if isinstance(answer, Enqueued) and not answer.duplicate:
            first[name.rpartition("enqueue ")[2]] += 1
    if first["new"] > 1:
        yield "two producers were told that theirs is the first"


def starts(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """at_most_once: a started body is not run again in its epoch."""
    ledger = Counter((row["task"], row["key"], row["epoch"]) for row in tables["ledger"])
    for duty, count in ledger.items():
        if count > 1:
            yield f"{duty} stands in the ledger {count} times"
    began = {row["job_id"]: row["epoch"] for row in tables["ledger"] if row["kind"] == "start"}
    for row in tables["job"]:
        if began.get(row["id"]) == row["epoch"] and row["state"] == "ready":
            yield f"{row['id']} was started in epoch {row['epoch']}, and is ready in it"
    for _, answer in answers:
        if answer == "stored":
            lease = scene.leases["most"]
            if began.get(lease.job_id) is None:
                yield "a start was told to be stored, and is not"


def works(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """exactly_once, and once(): the work is there once, if and only if it is done."""
    worked = Counter(row["duty"] for row in tables["work"])
    done = {
        row["key"] for row in tables["history"] if row["task"] == "exact" and row["outcome"] == "performed"
    }
    for duty, count in worked.items():
        if count > 1:
            yield f"{duty} was worked {count} times"
        if duty != "once" and duty not in done:
            yield f"{duty} was worked, and its job is not done"
    for duty in done - worked.keys():
        yield f"{duty} is done, and there is no work"
    firsts = [answer for name, answer in answers if name.endswith("once") and answer is True]
    if len(firsts) > 1 or bool(firsts) != (worked["once"] == 1):
        yield f"once: {len(firsts)} were first, {worked['once']} works"


def audits(scene: Scene, tables: Tables, answers: Answers) -> Iterator[str]:
    """Each verb of a person that was carried out left one row."""
    before = Counter({"cancel": 1})
    now = Counter(row["verb"] for row in tables["audit"] if row["verb"] in PEOPLE)
    said = Counter(answer for _, answer in answers if isinstance(answer, str) and answer in PEOPLE)
    if now != before + said:
        yield f"people did {dict(said)}, and the audit says {dict(now - before)}"


def nobody_left_behind(scene: Scene) -> Iterator[str]:
    """A last pass of a reaper, later, takes back all that gone workers hold."""
    scene.clock.at_us += 1
    try:
        scene.run(workers.lapse())
        tables = scene.look()
    finally:
        scene.clock.at_us -= 1
    gone = {row["id"] for row in tables["worker"] if row["gone_at"] is not None}
    known = {row["id"] for row in tables["worker"]}
    for row in tables["job"]:
        if row["state"] == "running" and (row["worker"] in gone or row["worker"] not in known):
            yield f"{row['id']} is held by worker {row['worker']}, which is gone, for ever"
