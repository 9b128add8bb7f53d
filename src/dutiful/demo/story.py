"""What the demonstration tells while it goes on: lines, and a progress line that a terminal rewrites."""

from __future__ import annotations

import os
import shutil
import time
from typing import Final, TextIO

COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
PLAIN: Final = str.maketrans({"✗": "x", "✓": "ok", "↻": ">", "†": "+", "×": "x", "…": "..."})
"""For terminals that do not know these signs."""


class Story:
    """Writes to a stream, with the seconds since it began before each line."""

    def __init__(self, stream: TextIO, *, progress_s: float) -> None:
        self._stream = stream
        self._progress_s = progress_s
        self._began = time.monotonic()
        self._terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._terminal and not os.environ.get("NO_COLOR")
        self._signs = _knows_signs(stream)
        self._progress_at = self._began
        self._progress = ""

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def paint(self, text: str, colour: str) -> str:
        """The text in that colour, where colours are wanted."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self._colours else text

    def say(self, text: str = "") -> None:
        """A line without a time."""
        self._wipe()
        self._write(f"{text}\n")
        self._show()

    def tell(self, lane: str, sign: str, text: str, colour: str = "") -> None:
        """Something that happened in a lane just now."""
        mark = self.paint(sign, colour) if colour else sign
        self.say(f"{self.age_s:5.1f} s  {lane} {mark} {text}")

    def progress(self, text: str) -> None:
        """How far it is: the last line of a terminal; elsewhere a line now and then."""
        line = f"{self.age_s:5.1f} s  {text}"
        if self._terminal:
            self._wipe()
            self._progress = line
            self._show()
        elif time.monotonic() - self._progress_at >= self._progress_s:
            self._progress_at = time.monotonic()
            self._write(f"{line}\n")

    def settle(self) -> None:
        """Take the progress line away: it is over."""
        self._wipe()
        self._progress = ""

    def _wipe(self) -> None:
        if self._progress:
            self._write("\r\x1b[K")

    def _show(self) -> None:
        if self._progress:
            self._write(self.paint(self._progress[: shutil.get_terminal_size().columns - 1], "dim"))

    def _write(self, text: str) -> None:
        self._stream.write(text if self._signs else text.translate(PLAIN))
        self._stream.flush()


def _knows_signs(stream: TextIO) -> bool:
    try:
        "".join(map(chr, PLAIN)).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
