"""Names of the engine's types for the rooms above, which may name them but never touch the engine.

For type checkers only: there is nothing here at run time.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exshadow._core import ConnectionInfo as ConnectionInfo
    from exshadow._core import ExportStatistics as ExportStatistics
    from exshadow._core import Job as Job
    from exshadow._core import JobProgress as JobProgress
    from exshadow._core import PlexInfo as PlexInfo
    from exshadow._core import Snapshot as Snapshot
    from exshadow._core import SnapshotInfo as SnapshotInfo
    from exshadow._core import Volume as Volume
    from exshadow._core import VolumeInfo as VolumeInfo
