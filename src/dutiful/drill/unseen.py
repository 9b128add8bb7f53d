"""The net below the shims: sockets and files that a body opens past them, by Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from .boundaries import UnseenIO, through, track, unwatched, where
from .shim_http import put


@dataclass
class Seen:
    """What the runs of a drill did past the shims."""

    sockets: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    """Written by bodies; what stands in them is part of the state that is compared."""
    before: dict[str, bytes | None] = field(default_factory=dict)

    def reset(self) -> None:
        """Put the files back as they were before the drill."""
        for path, content in self.before.items():
            if content is None:
                if os.path.exists(path):
                    os.remove(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)

    def contents(self) -> dict[str, str]:
        """What stands in them now."""
        return {path: content for path in sorted(self.files) if (content := _text(path)) is not None}

    def wrote(self, path: Any) -> None:
        """A body is about to write there."""
        if isinstance(path, (str, bytes)) or hasattr(path, "__fspath__"):
            name = os.path.abspath(os.fsdecode(path))
            if name.startswith(("/dev/", "/proc/")):
                return
            self.files.add(name)
            if name not in self.before:
                self.before[name] = _bytes(name)


def _bytes(path: str) -> bytes | None:
    with unwatched():
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            return None


def _text(path: str) -> str | None:
    content = _bytes(path)
    return None if content is None else content.decode("utf-8", "replace")


_seen: Seen | None = None
_installed = False
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None or event not in ("socket.connect", "open", "os.rename", "os.remove", "subprocess.Popen"):
        return
    one = track()
    if one is None or (event == "socket.connect" and through.get()):
        return
    reads = event == "open" and not (isinstance(args[2], int) and args[2] & WRITING)
    if reads or (event == "open" and not isinstance(args[0], (str, bytes))):
        return
    place, _ = where()
    if place is None:
        return
    if event in ("socket.connect", "subprocess.Popen"):
        what = f"a connection to {args[1]}" if event == "socket.connect" else f"the program {args[0]}"
        _seen.sockets.append(f"{what} ({place})")
        raise UnseenIO(f"The body opened {what}, past every shim.")
    with unwatched():
        _seen.wrote(args[1] if event == "os.rename" else args[0])
    if event == "open":
        one.at("file", f"write {os.path.basename(os.fsdecode(args[0]))}")


@contextmanager
def guarded(seen: Seen, *, shimmed: str = "") -> Iterator[None]:
    """While it is on, a driver without a shim (all but ``shimmed``) refuses to open a connection in a run."""
    with ExitStack() as stack:
        for module, name in (("apsw", "Connection"), ("psycopg2", "connect"), ("asyncpg", "connect")):
            if module in sys.modules and module != shimmed:
                real = getattr(sys.modules[module], name)
                stack.enter_context(put(sys.modules[module], name, _refusing(seen, module, real)))
        yield


def _refusing(seen: Seen, module: str, real: Any) -> Any:
    def connect(*args: Any, **kwargs: Any) -> Any:
        if track() is None:
            return real(*args, **kwargs)
        place, _ = where()
        seen.sockets.append(f"a connection by {module} ({place})")
        raise UnseenIO(f"The body opened a connection by {module}, for which a drill has no shim.")

    return connect


def watch(seen: Seen | None) -> None:
    """Notice what bodies do from now on, or nothing. (An audit hook stays for ever; it is quiet then.)"""
    global _seen, _installed
    _seen = seen
    if seen is not None and not _installed:
        _installed = True
        sys.addaudithook(_hook)
