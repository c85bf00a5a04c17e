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

_OF_COPIES = {
    "eva": ("kind", "allocation", "system", "work", "mirrors"),
    "native": ("mirror-path",),
    "sfw": ("mirrors", "sets", "sets_copy"),
    "vss": ("kind", "sets"),
}
"""Settings that say what a copy is and where it is found again; others say how the product is
reached and what happens next."""


def renewed(
    name: str, then: Mapping[str, str] | None, today: Mapping[str, Mapping[str, str]]
) -> Mapping[str, str]:
    """What the provider is made with to settle what was begun with ``then``: today's settings where
    there are any, by which an administrator corrects what was wrong, for the copies of then."""
    now = today.get(name)
    if then is None or now is None:
        return then or now or {}
    kept = _OF_COPIES.get(name, ())
    return {
        **{key: one for key, one in now.items() if key not in kept},
        **{key: one for key, one in then.items() if key in kept},
    }


def build(name: str, settings: Mapping[str, str]) -> Provider:
    """The provider with the settings of the policy's ``[provider.NAME]``. NotFoundError for one
    that is not registered here."""
    module = _MODULES.get(name)
    if module is None:
        raise NotFoundError(f"no provider {name}", hint=f"there are {', '.join(sorted(_MODULES))}")
    made: Provider = import_module(module).build(settings)
    return made
