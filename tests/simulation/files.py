"""Workers' own files, simulated: a lock that the kernel frees at death, and the record of begun jobs."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from tests.simulation.scheduler import Process, Scheduler


class Files:
    """The files of all hosts, by path."""

    def __init__(self) -> None:
        self.owners: dict[str, Process] = {}
        self.begun: dict[str, dict[int, str]] = {}


def files_of(world: Scheduler) -> Files:
    files = world.outside.kept.setdefault("files", Files())
    assert isinstance(files, Files)
    return files


def file_class(world: Scheduler) -> Any:
    """What stands for ``WorkerFile`` in this world."""
    files = files_of(world)

    class SimulatedFile:
        def __init__(self, path: str) -> None:
            self.path = path

        @classmethod
        def create(cls, folder: str, token: str, *, slots: int = 32) -> SimulatedFile:
            path = f"{folder}/{world.process.host}/{token}"
            files.owners[path] = world.process
            files.begun[path] = {}
            return cls(path)

        def begin(self, slot: int, job_id: str) -> None:
            assert slot >= 0
            files.begun[self.path][slot] = job_id

        def end(self, slot: int) -> None:
            files.begun[self.path].pop(slot, None)

        def close(self) -> None:
            files.owners.pop(self.path, None)
            files.begun.pop(self.path, None)

    return SimulatedFile


class Liveness:
    """Stands for the module ``liveness``, as one who asks on the file's own host."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world
        self._files = files_of(world)

    def is_dead(self, path: str) -> bool | None:
        owner = self._files.owners.get(path)
        return None if owner is None else owner.dead

    def begun(self, path: str) -> list[str] | None:
        slots = self._files.begun.get(path)
        return None if slots is None else list(slots.values())

    def remove(self, path: str) -> None:
        self._files.owners.pop(path, None)
        self._files.begun.pop(path, None)

    def sweep(self, folder: str, keep: Container[str]) -> int:
        return 0
