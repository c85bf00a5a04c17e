"""Providers by name, loaded when they are asked for. The native one needs the service and is made
there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from exshadow.errors import UnsupportedError
from exshadow.providers.contract import Provider

MODULES = {"sfw": "exshadow.providers.sfw", "eva": "exshadow.providers.eva"}


def build(name: str, settings: Mapping[str, str]) -> Provider:
    """The provider with these settings. UnsupportedError for one that is not here."""
    try:
        module = import_module(MODULES[name])
    except (KeyError, ModuleNotFoundError):
        raise UnsupportedError(f"provider {name} is not here") from None
    made: Provider = module.build(settings)
    return made
