"""HP EVA arrays, driven through SSSU: snapshots, snapclones and mirrorclones inside the array.

Reading order: settings, session (talks), parsing and objects (reads), array (looks and changes,
with read-back), names, memory and finding (how copies are found again), rules and preflight (what
is permitted), base, restoring and luns (what all kinds share), mirrorclone, making and pointcopy
(the verbs), swap (promotion), provider (the contract).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exshadow.providers.eva.provider import EvaProvider


def build(settings: Mapping[str, str]) -> EvaProvider:
    """The provider with a runner of programs made from ``settings`` (``sssu = /opt/hp/sssu``).
    InvalidError when a setting is wrong or missing."""
    from exshadow.commands import CommandRunner
    from exshadow.providers.eva.provider import EvaProvider

    programs = {"sssu": settings["sssu"]} if settings.get("sssu") else {}
    return EvaProvider(settings, CommandRunner(programs=programs))
