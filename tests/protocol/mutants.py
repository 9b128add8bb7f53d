"""Weakened protocols: one rule fewer each, and the invariant that must notice.

A mutant is searched within bounds of its own, as small as its story allows. If an invariant could
not see its mutant, a clean search would say nothing about the rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.protocol.bounds import Bounds, Delivery, Provider
from tests.protocol.liveness import stuck
from tests.protocol.machine import Machine
from tests.protocol.nouns import Left
from tests.protocol.search import Found, search
from tests.protocol.suspects import WEAK, Suspects
from tests.protocol.suspects import Bounds as SuspectBounds

STATES_MAX = 400_000
KEYS = Provider(remembered=3)
LOOKUP = Provider(lookup=True)
BOTH = Provider(remembered=3, lookup=True)
NEITHER = Provider()


@dataclass(frozen=True)
class Mutant:
    """``weak`` is the rule's name in the code of the steps; ``because`` says what is done instead."""

    weak: str
    expected: str
    because: str
    bounds: Bounds | SuspectBounds


@dataclass(frozen=True)
class Verdict:
    """What came of a mutant's search. Caught means: by the invariant that was expected."""

    mutant: Mutant
    found: Found

    @property
    def caught(self) -> bool:
        return any(line.startswith(f"{self.mutant.expected}:") for line in self.found.wrong)


def judge(mutant: Mutant) -> Verdict:
    """Search until something is wrong; for L1, until a state is found from which nothing leads to the end."""
    if isinstance(mutant.bounds, SuspectBounds):
        found = search(Suspects(mutant.bounds), states_max=STATES_MAX)
    else:
        found = search(Machine(mutant.bounds, mutant.weak), states_max=STATES_MAX)
    if mutant.expected == "L1" and found.whole and not found.wrong:
        assert found.graph is not None
        number = stuck(found.graph)
        if number is not None:
            found.wrong = ["L1: from here no job need ever be settled"]
            found.story = found.graph.story(number)
    return Verdict(mutant, found)


def _mutant(
    weak: str,
    expected: str,
    because: str,
    delivery: Delivery,
    provider: Provider | None = None,
    *,
    jobs: int = 1,
    epochs: int = 2,
    attempts: int = 2,
    crashes_max: int = 1,
    failover: bool = False,
    prune: bool = False,
    **left: int,
) -> Mutant:
    bounds = Bounds(
        weak,
        delivery,
        Left(**left),
        duties=(0,) * jobs,
        epochs=epochs,
        attempts_max=attempts,
        crashes_max=crashes_max,
        provider=provider,
        failover="queue" if failover else "",
        prune=prune,
    )
    return Mutant(weak, expected, because, bounds)


FENCES = (
    _mutant("no_fence_complete", "I5", "completes by id", "at_least_once", silences=1),
    _mutant("no_fence_fail", "I5", "fails by id", "at_least_once", silences=1, raises=1),
    _mutant("no_fence_bury", "I5", "buries by id", "at_least_once", attempts=1, silences=1, raises=1),
    _mutant("no_fence_snooze", "I5", "snoozes by id", "exactly_once", silences=1, handbacks=1),
    _mutant("no_fence_release", "I5", "releases by id", "at_least_once", silences=1, handbacks=1),
    _mutant("no_fence_abort", "I5", "cancels by id", "at_least_once", silences=1, people=1),
    _mutant("no_fence_skip", "I5", "skips what is too late by id", "at_least_once", silences=1, lates=1),
    _mutant("no_fence_expire", "I5", "ends what is too late by id", "at_least_once", silences=1, lates=1),
    _mutant("no_fence_start", "I5", "starts by id", "at_most_once", silences=1),
    _mutant(
        "no_fence_duplicate", "I5", "closes a duplicate by id", "exactly_once", jobs=2, silences=1, forgets=1
    ),
    _mutant(
        "no_fence_doubt", "I5", "doubts by id",
        "exactly_once", NEITHER, silences=1, losses=1, people=1,
    ),
    _mutant(
        "report_by_any_token", "I5", "a report is taken from any run",
        "exactly_once", LOOKUP, silences=1, raises=1,
    ),
    _mutant(
        "token_is_a_counter", "I7", "the token is run_no, which a failover gives back",
        "at_least_once", failover=True, failovers=1,
    ),
    _mutant(
        "run_no_starts_again", "I7", "a retry begins with run 1",
        "at_least_once", attempts=1, raises=1, people=1,
    ),
    _mutant("token_kept_at_the_end", "I9", "an ending leaves the token", "at_least_once"),
    _mutant("doubt_forgets_the_run", "I9", "a doubt does not keep last_token", "at_most_once", crashes=1),
    _mutant("lapse_keeps_the_token", "I9", "a lapse leaves the token", "at_least_once", crashes=1),
)  # fmt: skip

CLAIMS_AND_LAPSES = (
    _mutant(
        "claim_by_id", "I5", "looks for a ready job, then claims it by id", "at_least_once", jobs=1
    ),
    _mutant(
        "reaper_by_id", "I5", "looks for lapsed jobs, then writes by id",
        "at_least_once", silences=1, raises=1,
    ),
    _mutant(
        "lapse_without_gone", "I5", "takes jobs whose worker is not marked gone", "at_least_once", silences=1
    ),
    _mutant(
        "lost_claim_forgotten", "L1", "a claim without an answer is not looked for", "at_least_once", losses=1
    ),
    _mutant(
        "lapse_in_doubt_missing", "L1", "a started body that was cut off stays running",
        "at_most_once", crashes=1,
    ),
)  # fmt: skip

LEDGER = (
    _mutant("no_ledger", "I6", "no ledger row", "exactly_once"),
    _mutant("ledger_second", "I1", "the ledger in a second transaction", "exactly_once", crashes=1),
    _mutant(
        "ledger_last", "I1", "the ledger row is inserted last, a conflict ignored",
        "exactly_once", jobs=2, forgets=1,
    ),
    _mutant("ledger_by_job", "I1", "the ledger's key is the job", "exactly_once", jobs=2, forgets=1),
    _mutant(
        "ledger_pruned_early", "I16", "ledger rows go with their jobs",
        "exactly_once", jobs=2, forgets=1, prune=True,
    ),
    _mutant(
        "no_trigger", "I6", "a stray COMMIT of the body keeps its work",
        "exactly_once", raises=1,
    ),
    _mutant(
        "duplicate_is_performed", "I4", "a duplicate counts as performed", "elsewhere", jobs=2, forgets=1
    ),
    _mutant(
        "duplicate_is_performed", "I6", "the same, in one database", "exactly_once", jobs=2, forgets=1
    ),
)  # fmt: skip

STARTS = (
    _mutant("start_not_committed", "I2", "the body begins before the start is committed",
            "at_most_once", crashes=1),
    _mutant("no_nonce", "I2", "the start leaves no nonce in the ledger", "at_most_once", jobs=2, forgets=1),
    _mutant("started_lapses_to_ready", "I4", "a started body lapses to ready", "at_most_once", crashes=1),
    _mutant("started_may_fail", "I4", "a started body that raised is tried again", "at_most_once", raises=1),
    _mutant("started_may_be_released", "I4", "a started body is handed back", "at_most_once", handbacks=1),
    _mutant(
        "takeover_at_most_once", "I4", "a dead job's duty is taken over by a new job",
        "at_most_once", jobs=2, raises=1,
    ),
)  # fmt: skip

PEOPLE = (
    _mutant("refute_without_proof", "I2", "refuted though the old run may live",
            "at_most_once", silences=1, people=1),
    _mutant("refute_without_proof", "I3", "the same, of a call", "exactly_once", NEITHER, silences=1,
            people=1),
    _mutant("refute_keeps_epoch", "I4", "refuted within the same epoch", "at_most_once", crashes=1, people=1),
    _mutant("retry_keeps_epoch", "I4", "retried within the same epoch", "at_most_once", raises=1, people=1),
    _mutant("confirm_without_evidence", "I4", "confirmed without evidence", "at_most_once", crashes=1,
            people=1),
    _mutant("again_keeps_epoch", "I4", "again= within the same epoch", "exactly_once", jobs=2, agains=1),
    _mutant("epoch_forgotten", "I4", "a freed duty begins with epoch 1 again",
            "at_most_once", jobs=2, crashes=1, people=2),
    _mutant("epoch_forgotten", "I4", "the same: again= then asks for what the ledger has",
            "exactly_once", jobs=2, forgets=1, agains=1),
    _mutant("no_audit", "I12", "a person's verb leaves no audit row", "at_least_once", attempts=1, raises=1,
            people=1),
    _mutant("no_duty_row", "I8", "enqueue asks no duty row", "at_least_once", jobs=2),
    _mutant("retry_beside_an_open_job", "I8", "retry ignores who has the duty", "at_least_once", jobs=2,
            people=2),
    _mutant("unwaive_without_the_duty", "I8", "unwaive ignores who has the duty",
            "at_most_once", jobs=2, crashes=1, people=2, forgets=1),
)  # fmt: skip

ANSWERS = (
    _mutant("guess_committed", "I2", "no answer to the start: taken as committed",
            "at_most_once", losses=1, crashes=1),
    _mutant("guess_committed", "I4", "no answer to the work elsewhere: taken as committed",
            "elsewhere", losses=1),
    _mutant("no_read_back", "L1", "no answer to the ending: nobody asks", "at_least_once", losses=1),
    _mutant("guess_not_committed", "I6", "no answer to the work elsewhere: taken as failed",
            "elsewhere", losses=1),
    _mutant("readback_does_not_wait", "I6", "the read-back does not wait for a commit in progress",
            "elsewhere", losses=1),
)  # fmt: skip

EFFECTS = (
    _mutant("intended_not_committed", "I15", "the call goes before its row", "exactly_once", KEYS),
    _mutant("no_margin", "I3", "a key's age is checked without a margin", "exactly_once", KEYS, crashes=1),
    _mutant("no_expiry", "I3", "a key's age is not asked", "exactly_once", KEYS, crashes=1),
    _mutant("key_with_run_no", "I3", "the key has the run's number in it", "exactly_once", KEYS, crashes=1),
    _mutant("resend_blindly", "I3", "sent again without key or lookup", "exactly_once", NEITHER, silences=1,
            people=1),
    _mutant("lookup_alone", "I3", "“surely not” is enough, though the earlier caller may live",
            "exactly_once", LOOKUP, silences=1),
    _mutant("lookup_before_proof", "I3", "first asked, then proven that the earlier caller is dead",
            "exactly_once", LOOKUP, losses=1),
    _mutant("no_quiet_time", "I3", "the quiet time is not waited for", "exactly_once", LOOKUP, losses=1),
    _mutant("proof_of_the_last_run_alone", "I3", "only the last caller is proven dead",
            "exactly_once", Provider(remembered=2, clock_max=3), losses=1, silences=1, people=1),
    _mutant("refusal_is_final", "I3", "a refusal is taken for all calls under the key",
            "exactly_once", KEYS, silences=1, raises=1),
    _mutant("result_overwritten", "I15", "a late result is stored over the first",
            "exactly_once", KEYS, silences=1),
    _mutant("request_not_compared", "I15", "another request is sent under the same key",
            "exactly_once", KEYS, crashes=1, changes=1),
)  # fmt: skip

SUSPECTS = tuple(
    Mutant(weak, expected, because, SuspectBounds(weak, jobs=3, workers=2, kills=1, weak=weak))
    for weak, (expected, because) in WEAK.items()
)

MUTANTS = (*FENCES, *CLAIMS_AND_LAPSES, *LEDGER, *STARTS, *PEOPLE, *ANSWERS, *EFFECTS, *SUSPECTS)
