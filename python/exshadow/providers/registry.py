"""Providers by name, each imported when it is asked for. The native one needs the service and is
made there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from exshadow.errors import NotFoundError
from exshadow.providers.contract import Provider

_MODULES = {
    "eva": "exshadow.providers.eva",
    "sfw": "exshadow.providers.sfw",
    "vss": "exshadow.providers.vss",
}


def build(name: str, settings: Mapping[str, str]) -> Provider:
    """The provider with the settings of the policy's ``[provider.NAME]``. NotFoundError for one
    that is not registered here."""
    module = _MODULES.get(name)
    if module is None:
        raise NotFoundError(f"no provider {name}", hint=f"there are {', '.join(sorted(_MODULES))}")
    made: Provider = import_module(module).build(settings)
    return made
