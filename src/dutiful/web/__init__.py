"""The web page: what people supervise jobs with, mounted in any web framework or standing alone.

``asgi`` for FastAPI, Starlette and the like, ``django`` for urlpatterns, ``flask`` for a blueprint,
``wsgi`` for anything else. Closed by default: without ``authorize=`` nobody sees anything.
"""

from __future__ import annotations

from ..model.operators import Operator
from .mounting import asgi, dashboard, django, flask, wsgi

__all__ = ["Operator", "asgi", "dashboard", "django", "flask", "wsgi"]
