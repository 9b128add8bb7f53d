"""The life of a job, written once: states, named groups, and the one table of transitions.

The table is text, so that people read it, the code parses it, the docs print it and the contract
test checks it over all pairs of state and verb. *by* is the guard: a **worker** is fenced by its
token, the **clock** is any process once the database's time has passed, a **person** compares the
state that was seen and leaves an audit row in the same transaction.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["ready", "running", "done", "dead", "in_doubt", "cancelled"]

STATES: tuple[State, ...] = ("ready", "running", "done", "dead", "in_doubt", "cancelled")
OPEN: frozenset[State] = frozenset({"ready", "running", "in_doubt"})
"""Jobs of the live table."""
CLOSED: frozenset[State] = frozenset({"done", "cancelled"})
"""Jobs of the history."""
UNRESOLVED: frozenset[State] = frozenset({"dead", "in_doubt"})
"""Counted and alarmed until a person or a lookup closes them."""

OUTCOMES = ("performed", "duplicate", "skipped", "waived")
"""How a done job came to be done. A duplicate is no evidence that anything was done."""

REASONS = ("error", "exhausted", "gave_up", "poison", "stale", "changed")
"""Why a dead job is dead."""

TRANSITIONS = """
verb           | from             | to         | by     | because
enqueue        |                  | ready      | caller | the duty row is taken; else its job is returned, duplicate=True
claim          | ready            | running    | worker | due, task known here, not paused, lock and order free, not too late
start          | running          | running    | worker | fence; at_most_once: nonce in the ledger, durable commit
complete       | running          | done       | worker | fence; the body returned
duplicate      | running          | done       | worker | fence; the duty is in the ledger already
fail           | running          | ready      | worker | fence; the body raised, tries are left; never a started at_most_once
bury           | running          | dead       | worker | fence; the body raised, no try is left
snooze         | running          | ready      | worker | fence; attempt given back; never a started at_most_once
release        | running          | ready      | worker | fence; shutdown or a limit: attempt given back; never a started at_most_once
abort          | running          | cancelled  | worker | fence; it obeyed a request to cancel
doubt          | running          | in_doubt   | worker | fence; an outcome is unknown and cannot be looked up
lapse          | running          | ready      | clock  | its worker was marked gone; attempt given back, suspect; crashes+1 only if it ran alone
lapse_last     | running          | dead       | clock  | the same; the crash budget is used up (reason poison)
lapse_in_doubt | running          | in_doubt   | clock  | the same; at_most_once and started, or an unrecoverable effect is open
skip           | ready            | done       | clock  | too late, policy skip: outcome skipped
expire         | ready            | dead       | clock  | too late, policy dead: reason stale
report         | in_doubt         | done       | worker | last_token equal: the run was alive after all
report_failed  | in_doubt         | dead       | worker | last_token equal: the run was alive and its body raised
confirm        | in_doubt         | done       | person | an at_most_once body was found finished: evidence
resume         | in_doubt         | ready      | person | the doubtful effect is settled and its result recorded
refute         | in_doubt         | ready      | person | surely not done; the old run is proven dead and the quiet time has passed
waive          | dead in_doubt    | done       | person | given up: by, why
unwaive        | done(waived)     | dead in_doubt | person | the state it was waived from, restored
retry          | dead cancelled done(skipped) | ready done | person | attempts 0, history kept; a dead one whose duty another job did: outcome duplicate, same_as
cancel         | ready            | cancelled  | person | by, why
prune          | done cancelled   |            | clock  | older than keep; the ledger is kept longer
"""


class Transition(Struct, frozen=True):
    """One row of the table. ``sources`` may carry an outcome, as ``done(skipped)``."""

    verb: str
    sources: tuple[str, ...]
    targets: tuple[State, ...]
    by: str
    because: str

    def allows(self, state: str, outcome: str | None = None) -> bool:
        """Whether the verb may take a job that is in ``state`` (done with ``outcome``)."""
        return state in self.sources or f"{state}({outcome})" in self.sources


def parse(table: str) -> dict[str, Transition]:
    """Read the table; raises ``ValueError`` where a cell is not a known state."""
    transitions = {}
    for line in table.strip().splitlines()[1:]:
        verb, sources, targets, by, because = (cell.strip() for cell in line.split("|"))
        for cell in sources.split():
            state, _, outcome = cell.partition("(")
            if state not in STATES or (outcome and outcome.rstrip(")") not in OUTCOMES):
                raise ValueError(f"{verb}: {cell!r} is no state")
        wanted = [state for state in STATES if state in targets.split()]
        if len(wanted) != len(targets.split()):
            raise ValueError(f"{verb}: {targets!r} is no list of states")
        if by not in ("caller", "worker", "clock", "person"):
            raise ValueError(f"{verb}: {by!r} guards nothing")
        transitions[verb] = Transition(verb, tuple(sources.split()), tuple(wanted), by, because)
    return transitions


VERBS = parse(TRANSITIONS)
