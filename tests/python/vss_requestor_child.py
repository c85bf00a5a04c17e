"""A requestor that stops at one step of its backup and says so, to be killed there.

python vss_requestor_child.py STEP APPLICATION_PID LOG HANGS LIMIT
"""

from __future__ import annotations

import sys
import time

from vss_writers import OneVolume, StoppingWriter

from exshadow import vss

step, pid, log, hangs, limit = sys.argv[1:]
coordinator = vss.IsolatedCoordinator(limits=vss.Limits(freeze=float(limit), hold=120.0))


def at(reached: str) -> None:
    if reached == step:
        sys.stdout.write(f"{coordinator.guard_pid}\n")
        sys.stdout.flush()
        time.sleep(600)


coordinator.register_provider(OneVolume(at))
coordinator.register_writer(
    StoppingWriter, {"pid": pid, "log": log, "hangs": hangs, "limit": limit}
)
backup = coordinator.backup_components()
backup.initialize_for_backup()
backup.set_backup_state(vss.BackupState(select_components=False))
backup.gather_writer_metadata().finish()
at("gathered")
backup.start_snapshot_set()
backup.add_to_snapshot_set("data")
at("set_open")
backup.prepare_for_backup().finish()
at("prepared")
backup.do_snapshot_set().finish()
at("snapshotted")
backup.backup_complete().finish()
backup.close()
coordinator.close()
sys.stdout.write("done\n")
