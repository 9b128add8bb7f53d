"""The web page of lane C, in a process of its own; without it the demonstration goes on all the same."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import webbrowser
from importlib.util import find_spec

from .crew import environment
from .lanes import APP
from .places import Folder

NEEDED = ("starlette", "jinja2", "uvicorn")
CAME_IN = "A browser came in"
"""What ``dutiful web`` says when its address was used."""
END_S = 10.0


class Page:
    """Served on a free port of this machine alone; who opens its address first is let in."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What is not installed of that which a page needs; "" if nothing."""
        return next((name for name in NEEDED if find_spec(name) is None), "")

    def start(self) -> None:
        """Returns at once; see :attr:`address`."""
        where = ["--store", self._folder.jobs_url, "--app-name", APP, "--bind", "127.0.0.1:0"]
        command = ["web", *where, "--env", "demo", "--as", "visitor", "--parent", str(os.getpid())]
        with self._folder.log("page").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dutiful", *command],
                env=environment(self._folder),
                cwd=self._folder.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    @property
    def address(self) -> str:
        """Where a browser is to go, once the page is there; else ""."""
        found = re.search(r"^http://\S+$", self._said(), re.MULTILINE)
        return found[0] if found else ""

    @property
    def visited(self) -> bool:
        """Whether somebody has opened it, and it is there still."""
        return self._process is not None and self._process.poll() is None and CAME_IN in self._said()

    @property
    def failed(self) -> str:
        """Why it is not there, if it has ended."""
        if self._process is None or self._process.poll() is None:
            return ""
        return next(iter(self._said().strip().splitlines()), "it said nothing")

    @property
    def settled(self) -> bool:
        """Whether it is known where it is, or that there is none."""
        return bool(self.address or self.failed or self.missing())

    def link(self, path: str) -> str:
        """A place on the page, for whoever was let in."""
        return self.address.partition("sign-in?")[0] + path

    def stop(self) -> None:
        """No process of it is left."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(END_S)

    def _said(self) -> str:
        try:
            return self._folder.log("page").read_text(errors="replace")
        except FileNotFoundError:
            return ""


def desktop() -> bool:
    """Whether a browser could be shown to somebody who sits here."""
    if sys.platform == "darwin":
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(address: str) -> None:
    """Open it in a browser; nothing happens where there is none."""
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)
