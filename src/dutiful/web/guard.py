"""The door of the page: which host, which origin, which policy; before anybody is asked who they are.

It refuses a host that is not on the list (DNS rebinding), a write that another site sent (CSRF), and
it sends the headers that keep a browser from running or loading what is not ours. It answers nothing
else itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
FORM_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """A request that is not let in: the status, and what a person is told."""

    status: int
    title: str
    words: str
    hint: str = ""


def nonce() -> str:
    """What marks the scripts of one answer as ours."""
    return secrets.token_urlsafe(16)


def security_headers(mark: str) -> dict[str, str]:
    """The headers of every answer. Scripts need ``mark``; nothing is loaded from elsewhere."""
    policy = (
        "default-src 'none'; "
        f"script-src 'nonce-{mark}' 'strict-dynamic'; "
        "style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types htmx dutiful"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        # With "no-referrer" a form would be sent with "Origin: null", which looks like another site's.
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "cache-control": "no-store",
    }


def check_host(host: str, allowed: frozenset[str] | None) -> None:
    """Raise Refused for a host that is not allowed; None allows all (the host app sees to it)."""
    if allowed is None:
        return
    name = host.strip().lower()
    if name.startswith("["):  # an IPv6 address
        name = name.partition("]")[0] + "]"
    else:
        name = name.partition(":")[0]
    if name not in allowed:
        raise Refused(
            403,
            "This is not a name of this page",
            f"The request was for the host {host[:80]!r}, which is not on the list.",
            "Give it: dutiful web --host NAME, or hosts=[…] where the page is mounted.",
        )


def check_method(method: str) -> None:
    """Raise Refused for a method that this page does not have."""
    if method not in METHODS:
        raise Refused(405, "No such method", f"{method[:20]} is nothing that this page knows.")


def check_origin(headers: Mapping[str, str]) -> bool:
    """Whether a write came from this page itself; raises Refused if it came from elsewhere.

    True: the browser says so (Sec-Fetch-Site). False: it is too old, or the page is plain HTTP, to say
    it; then Origin names this host, and the form must carry its token, too.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site == "same-origin":
            return True
        raise _foreign()
    origin = headers.get("origin", "")
    _, found, rest = origin.partition("://")
    if not found or rest.lower() != headers.get("host", "").lower():
        raise _foreign()
    return False


def _foreign() -> Refused:
    return Refused(
        403,
        "Sent from another site",
        "This action did not come from this page, so nothing was done.",
        "Open the page itself and do it there. Behind a proxy, Host and Origin must be passed on unchanged.",
    )


class FormTokens:
    """Tokens that bind a form to this process and to whom it was shown."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def of(self, who: str) -> str:
        """The token in a form shown to ``who``."""
        return hmac.new(self._key, who.encode(), hashlib.sha256).hexdigest()

    def check(self, who: str, token: str) -> None:
        """Raise Refused unless it is the one."""
        if not hmac.compare_digest(self.of(who).encode(), token.encode()):
            raise Refused(
                403,
                "This form is too old",
                "The page was restarted since, so nothing was done.",
                "Go back, reload, and do it again.",
            )
