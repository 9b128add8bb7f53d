"""The full size, by hand: ``./dev powerloss --images 50000 --seed 1``."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from pathlib import Path

from tests.powerloss.campaign import Tally, lose_power
from tests.powerloss.history import Mode
from tests.powerloss.story import tell

VARIANTS: tuple[tuple[Mode, bool], ...] = (
    ("full", False),
    ("normal", False),
    ("full", True),
    ("normal", True),
)
WORDS = (40, 60, 90)
SHOWN_MAX = 20


def main() -> int:
    """Tell stories, in all variants, until so many images were looked at; 1 if any was not as promised."""
    parser = argparse.ArgumentParser(prog="./dev powerloss", description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    tallies = {variant: Tally() for variant in VARIANTS}
    print(f"seed {options.seed}")
    for number in itertools.count():
        done = sum(tally.images for tally in tallies.values())
        if done >= options.images:
            break
        seed, variant = options.seed + number // len(VARIANTS), VARIANTS[number % len(VARIANTS)]
        tally = one(seed, *variant, images_max=options.images - done)
        tallies[variant].add(tally)
        print(f"seed {seed}, {title(*variant)}: {tally.words()}", flush=True)
        for loss in tally.found[:SHOWN_MAX]:
            print(f"seed {seed}, {title(*variant)}: {loss}", flush=True)
    for variant, tally in tallies.items():
        print(f"{title(*variant)}: {tally.words()}")
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    print(f"all: {whole.words()}")
    return 1 if whole.found else 0


def one(seed: int, mode: Mode, own_checkpoints: bool, images_max: int) -> Tally:
    """One story, in folders of its own."""
    with tempfile.TemporaryDirectory() as store, tempfile.TemporaryDirectory() as looked_at:
        words = random.Random(seed).choice(WORDS)
        told = tell(seed, mode, Path(store), words=words, own_checkpoints=own_checkpoints)
        return lose_power(told, Path(looked_at), seed=seed, extra=2, images_max=images_max)


def title(mode: Mode, own_checkpoints: bool) -> str:
    """What is printed for a variant."""
    return f"{mode}, {'our' if own_checkpoints else 'SQLite’s'} checkpoints"


if __name__ == "__main__":
    sys.exit(main())
