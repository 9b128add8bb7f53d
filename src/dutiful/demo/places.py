"""The demonstration's folder: what lies where in it, and the settings that its processes read there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

VARIABLE = "DUTIFUL_DEMO_FOLDER"


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of the demonstration is told."""

    lease_s: float = 2.0
    bank_s: float = 0.0
    repeat_s: float = 0.0
    seed: int = 0
    poison: str = ""
    """The order that lane C's task fails on until :attr:`Folder.mended` is there."""
    lane_c: str = ""
    director: int = 0
    """The process that started all others, which end with it; 0 if there is none."""

    def is_directed(self) -> bool:
        """Whether the director still lives."""
        try:
            os.kill(self.director, 0)
        except ProcessLookupError:
            return False
        return True


class Folder:
    """Where the files of one demonstration are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bank = path / "bank.db"
        self.jobs = path / "jobs.db"
        self.orders = path / "orders.json"
        self.events = path / "events.jsonl"
        """What lane C's workers report by their log, one line of JSON each."""
        self._placed = path / "placed.json"
        self.requests = path / "requests.json"
        """How many of lane C's requests were stored, and how many folded as duplicates."""
        self.mended = path / "mended"
        self.stops = path / "stops"
        """A file for each place where a worker is to wait for its end; see ``points.py``."""
        self.reports = path / "reports"
        self._settings = path / "settings.json"

    def queue(self, lane: str) -> Path:
        """The queue of lane A or B."""
        return self.path / f"queue-{lane.lower()}.db"

    def log(self, lane: str) -> Path:
        """What a lane's workers print."""
        return self.path / f"workers-{lane.lower()}.log"

    @property
    def jobs_url(self) -> str:
        """The URL of lane C's store."""
        return f"sqlite:///{quote(str(self.jobs))}"

    def write_placed(self, orders: Sequence[Mapping[str, Any]]) -> None:
        """These orders are placed now: each was asked for, and is to be charged."""
        draft = self._placed.with_suffix(".draft")
        draft.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "orders": list(orders)}))
        os.rename(draft, self._placed)

    def placed(self) -> list[dict[str, Any]]:
        """The orders that are placed, each with the instant since when; none before they are."""
        try:
            found = json.loads(self._placed.read_text())
        except FileNotFoundError:
            return []
        return [order | {"due": datetime.fromisoformat(found["at"])} for order in found["orders"]]

    def write_settings(self, settings: Settings) -> None:
        """Before any other process is started."""
        self._settings.write_text(json.dumps(asdict(settings)))

    def settings(self) -> Settings:
        """As they were written; the defaults in a folder without them."""
        try:
            return Settings(**json.loads(self._settings.read_text()))
        except FileNotFoundError:
            return Settings()


def this_folder() -> Folder:
    """The folder that this process was told; else the current one."""
    return Folder(Path(os.environ.get(VARIABLE, ".")).absolute())
