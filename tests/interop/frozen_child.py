"""A requestor with one writer that stops when the application is frozen, to be killed there.

``frozen_child.py WRITER``: says the process id of the guard when the writer has frozen.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from vss_writers import OneVolume

from exshadow import ClosedError, vss
from exshadow.vss.registry import spec_of

coordinator = vss.IsolatedCoordinator(limits=vss.Limits(hold=120.0))


def at(step: str) -> None:
    if step == "commit":
        print(coordinator.guard_pid, flush=True)
        time.sleep(600)


coordinator.register_provider(OneVolume(at))
spec = spec_of(sys.argv[1])
coordinator.register_writer(spec.place, spec.arguments)
request = vss.BackupRequest(volumes=["data"], retry=vss.RetryLimits(tries=1))
with suppress(ClosedError):  # the coordinator was killed
    coordinator.backup(request).check()
