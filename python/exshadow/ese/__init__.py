"""Offline proof of ESE files: databases, transaction logs and whole folders of them.

Reads only. What the format cannot show is said in :data:`BLIND_SPOTS`. The rules are those of the
fact sheet on ESE files; forms that were never seen in real files say so in their findings.

    >>> report = exshadow.ese.check(["/mnt/snapshot/mdbdata"])
    >>> report.ok, report.sets[0].required
"""

from exshadow.ese.checking import check, info
from exshadow.ese.reports import BLIND_SPOTS, EseReport, FileReport, SetReport

__all__ = ["BLIND_SPOTS", "EseReport", "FileReport", "SetReport", "check", "info"]
