"""From MODULE:APP to the App."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from ..model.errors import AppNotFound
from ..model.keys import near
from .app import App


def find_app(path: str) -> App:
    """Import ``path`` (``shop.jobs:app``; ``:app`` may be left out) with this folder importable.

    Raises AppNotFound, and whatever the module itself raises.
    """
    module_name, _, variable = path.partition(":")
    module = find_module(module_name, path)
    apps = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if variable:
        found = getattr(module, variable, None)
        if not isinstance(found, App):
            what = "is no App" if hasattr(module, variable) else "does not exist"
            raise AppNotFound(f"{module_name}:{variable} {what}{near(variable, apps)}.")
        return found
    if len({id(app) for app in apps.values()}) != 1:
        raise AppNotFound(
            f"{module_name} holds {len(apps)} apps: {', '.join(apps) or 'none'}.", hint="Name one."
        )
    return next(iter(apps.values()))


def find_module(name: str, path: str) -> ModuleType:
    """Import the module of ``path``, with this folder importable; raises as :func:`find_app`."""
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise AppNotFound(f"{path!r} is no MODULE:APP.", hint="Write it like: shop.jobs:app")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise AppNotFound(
                f"There is no module {error.name!r} to import from {os.getcwd()}.",
                hint="Run this in the folder where the module is, or name it by its package: shop.jobs:app",
            ) from None
        raise
