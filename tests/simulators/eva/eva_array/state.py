"""The imitated array's state: one JSON file, locked for each command, shared by all sessions.

``new`` makes a folder with: array.json, images/ (one sparse file a vdisk), sys/ and dev/ (what a
host sees). Traps and times are ordinary fields, changed by :func:`edit`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path

TIMES = {"sync": 0.05, "unshare": 0.05, "restore": 0.05, "flush": 0.02, "answer": 0.0}
WORDS = {"prompt": "> ", "status": "Status : "}  # how this release spells them
TRAPS = {
    "no_status": False,  # the options are not taken: no status lines
    "dirty_xml": False,  # banner, prompt and 0x01 within a listing
    "write_back_stuck": False,  # write-through is asked for and never becomes actual
    "error_but_zero": "",  # a command with this word prints an Error line and Status : 0
    "ignored": "",  # a command with this word prints Status : 0 and does nothing
    "full_outcome": "invalidate",  # or "stop_writes": what a full disk group does
    "at": 0,  # counting changing commands from 1: at this one happens ...
    "what": "",  # ... lose | lose_after | hang | hang_after | kill | kill_after | takeover
    "unseen_restore": False,  # a restore is over before any listing can show it
    "late_restore": 0.0,  # seconds after which a restore begins to move bytes and is shown
    "clone_words": [],  # type and sharing word of a snapclone that still copies, in this release
    "prepared_state": "",  # what a container comes to when it is prepared
    "set_named": False,  # MULTISNAP takes one name for the set, as the guide writes it
    "fracture_syncing": True,  # whether a mirrorclone that is not in sync can be fractured
}


def new(folder: Path, name: str = "EVA1", total: int = 1 << 36) -> None:
    """An array with one disk group and three hosts, no vdisks. Folder must not exist."""
    for part in ("images", "sys/block", "sys/class/block", "sys/class/scsi_host/host0", "dev"):
        (folder / part).mkdir(parents=True)
    (folder / "sys/class/scsi_host/host0/scan").write_text("")
    plain = {
        "array": {
            "name": name, "wwn": "5000-1FE1-5001-0000", "licensed": True, "managed_by": "",
            "user": "admin", "password": "secret word", "manager": "cv.example", "state": "good",
            "model": "HSV210",
        },
        "groups": {"\\Disk Groups\\dg1": {"total": total, "alarm": 95}},
        "hosts": [f"\\Hosts\\Mail\\{host}" for host in ("prod", "backup", "tape")],
        "vdisks": {}, "luns": [], "devices": {}, "options": {},
        "times": dict(TIMES), "traps": dict(TRAPS), "hold": False,
        "words": dict(WORDS), "changes": 0, "serial": 0, "log": [], "unflushed": 0, "moved": 0,
    }  # fmt: skip
    _save(folder, plain)


@contextlib.contextmanager
def edit(folder: Path):
    """The state, alone; written when the block ends without an exception."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        plain = json.loads((folder / "array.json").read_text())
        yield plain
        _save(folder, plain)


def _save(folder: Path, plain) -> None:
    fresh = folder / "array.json.new"
    fresh.write_text(json.dumps(plain))
    fresh.rename(folder / "array.json")


def add_vdisk(state, folder: Path, name: str, form: str, size: int, /, **more):
    """A vdisk with an image of zeros."""
    state["serial"] += 1
    hashed = hashlib.sha256(f"{state['array']['name']} {state['serial']}".encode()).hexdigest()
    vdisk = {
        "id": f"{state['serial']:040x}", "name": name, "folder": "Mail", "family": name,
        "form": form, "size": size, "source": "", "group": "\\Disk Groups\\dg1",
        "redundancy": "vraid5", "wwn": "600508b4" + hashed[:24], "cache": "writeback",
        "actual": "writeback", "flush": 0.0, "phase": "", "until": 0.0, "began": 0.0,
        "copying": 0.0, "origin": "", "restoring": 0.0, "late": [], "prepared": "", "state": "good",
        "created": time.time(),
    } | more  # fmt: skip
    state["vdisks"][vdisk["id"]] = vdisk
    with image(folder, vdisk).open("xb") as file:
        file.truncate(size)
    return vdisk


def image(folder: Path, vdisk) -> Path:
    return folder / "images" / f"{vdisk['id']}.img"


def remove_vdisk(state, folder: Path, vdisk) -> None:
    image(folder, vdisk).unlink()
    del state["vdisks"][vdisk["id"]]


def copy_data(state, folder: Path, source, target) -> int:
    """Make the target's bytes the source's, in place, by what differs. Bytes moved."""
    moved, step = 0, 1 << 16
    with image(folder, source).open("rb") as read, image(folder, target).open("r+b") as write:
        for at in range(0, source["size"], step):
            wanted = os.pread(read.fileno(), step, at)
            if os.pread(write.fileno(), step, at) != wanted:
                os.pwrite(write.fileno(), wanted, at)
                moved += len(wanted)
        os.fsync(write.fileno())
    state["moved"] += moved
    return moved


def restore_data(state, folder: Path, copy, source) -> None:
    """Production's bytes are the copy's at once; the array says that it is at work on it."""
    copy_data(state, folder, copy, source)
    if state["traps"]["unseen_restore"]:
        return
    copy["restoring"] = -1  # its time begins when somebody has looked
    if copy["form"] == "mirrorclone":
        copy["phase"] = "restoring"


def differing(folder: Path, one, other) -> int:
    """Bytes of blocks that differ."""
    step, count = 1 << 16, 0
    with image(folder, one).open("rb") as left, image(folder, other).open("rb") as right:
        for at in range(0, one["size"], step):
            same = os.pread(left.fileno(), step, at) == os.pread(right.fileno(), step, at)
            count += 0 if same else step
    return count


RANK = {"vraid0": 0, "vraid5": 1, "vraid1": 2, "vraid6": 2}  # 6 against 1: imagined to be equal
FACTOR = {"vraid0": 1.0, "vraid1": 2.0, "vraid5": 1.25, "vraid6": 1.5}


def allocated(state, folder: Path, vdisk) -> int:
    """Bytes it takes in its group, without redundancy."""
    if vdisk["form"] != "demand":
        return vdisk["size"]
    source = state["vdisks"].get(vdisk["source"])
    return differing(folder, source, vdisk) if source and vdisk["state"] != "failed" else 0


def used(state, folder: Path, group: str) -> int:
    """Bytes of the group that are taken."""
    return int(
        sum(
            allocated(state, folder, one) * FACTOR[one["redundancy"]]
            for one in state["vdisks"].values()
            if one["group"] == group
        )
    )


def tick(state, folder: Path) -> None:
    """Background work goes on: whatever is due is done, unless held."""
    now = time.time()
    for one in state["vdisks"].values():
        if one["flush"] and now >= one["flush"] and not state["traps"]["write_back_stuck"]:
            one["actual"], one["flush"] = one["cache"], 0.0
        if state["hold"]:
            continue
        if one["phase"] == "syncing" and now >= one["until"]:
            one["phase"] = "synchronised"
        if one["copying"] and now >= one["copying"]:
            one |= {"copying": 0.0, "form": "original", "family": one["name"],
                    "origin": one["source"], "source": ""}  # fmt: skip
        if one["late"] and now >= one["late"][0]:
            source, one["late"] = state["vdisks"][one["late"][1]], []
            restore_data(state, folder, one, source)
        if one["restoring"] > 0 and now >= one["restoring"]:
            one["restoring"] = 0.0
            if one["phase"] == "restoring":
                one["phase"] = "fractured"
    _fill(state, folder)


def _fill(state, folder: Path) -> None:
    """Both documented ends of demand allocated snapshots in a full group."""
    for path, group in state["groups"].items():
        growing = [
            one for one in state["vdisks"].values()
            if one["group"] == path and one["form"] == "demand" and one["state"] == "good"
        ]  # fmt: skip
        if not growing or used(state, folder, path) <= group["total"]:
            continue
        for one in growing:
            one["state"] = "failed"
            if state["traps"]["full_outcome"] == "stop_writes":
                state["vdisks"][one["source"]]["state"] = "failed"
