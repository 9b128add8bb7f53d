"""The errors of the web page; the whole tree is in :mod:`.errors`."""

from __future__ import annotations

from .error_root import DutifulError


class PageError(DutifulError):
    """The web page cannot be opened as it was asked for. Nothing listens."""

    code = "DE900"


class PageWouldBeOpen(PageError):
    """The page would be open to others than the person at this machine."""

    code = "DE901"
    hint = "Give --password-file FILE, or --user-header NAME with --trusted-proxy CIDR; or bind to 127.0.0.1."


class PageNotInstalled(PageError):
    """The web page's packages are not installed."""

    code = "DE902"
    hint = "Run: pip install 'dutiful[web]'"
