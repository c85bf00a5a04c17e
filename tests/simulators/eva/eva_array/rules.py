"""What the imitated array permits (fact sheet 2.1) and does. Raises Refused with its words, which
are imagined where no source has them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from eva_array import host, listing
from eva_array import state as eva

SNAPTYPES = {"VSNAP": "demand", "SNAPSHOT": "fully", "SNAPCLONE": "snapclone"}
NAME_LIMIT = 32
GIB = 1 << 30  # containers have whole gigabytes; vdisks of tests are smaller and are rounded up


class Refused(Exception):
    """Printed after ``Error: ``."""


def owned(state) -> None:
    other = state["array"]["managed_by"]
    if other:
        raise Refused(
            "Error storage cell is managed by another agent. "
            f"ManagementAgentName: {other} ManagementAgentIP: 192.0.2.7"
        )


def names(record) -> set[str]:
    """What an object may be called by: its full name, without ACTIVE, its short name."""
    path = record["objectname"]
    parts = path.split("\\")
    short = parts[-2] if parts[-1] == "ACTIVE" else parts[-1]
    return {path, path.removesuffix("\\ACTIVE"), short}


def find(state, name: str):
    for one in state["vdisks"].values():
        if name in names({"objectname": listing.path_of(one)}):
            return one
    raise Refused(f"object not found: {name}")


def free_name(state, name: str) -> None:
    if not name or len(name) > NAME_LIMIT or "\\" in name:
        raise Refused(f"Invalid name: {name}")
    if any(one["name"] == name for one in state["vdisks"].values()):
        raise Refused(f"Object already exists: {name}")


def space(state, folder: Path, group: str, size: int, redundancy: str) -> None:
    if group not in state["groups"]:
        raise Refused(f"object not found: {group}")
    if redundancy not in eva.FACTOR:
        raise Refused(f"Invalid redundancy: {redundancy}")
    room = state["groups"][group]["total"] - eva.used(state, folder, group)
    if size * eva.FACTOR[redundancy] > room:
        raise Refused("Insufficient space in the disk group")


def licensed(state) -> None:
    if not state["array"]["licensed"]:
        raise Refused("Business Copy is not licensed")


def presented(state, one) -> bool:
    return any(lun["vdisk"] == one["id"] for lun in state["luns"])


def children(state, one):
    return [other for other in state["vdisks"].values() if other["source"] == one["id"]]


def add_container(state, folder: Path, name: str, given) -> None:
    licensed(state)
    free_name(state, name)
    redundancy = given.get("REDUNDANCY", "vraid5").lower()
    size = int(given.get("SIZE", "0")) * GIB if given.get("SIZE", "").isdigit() else 0
    if size <= 0:
        raise Refused("Invalid size")
    group = given.get("DISKGROUP", "")
    space(state, folder, group, size, redundancy)
    eva.add_vdisk(state, folder, name, "container", size, group=group, redundancy=redundancy)


def prepare(state, container: str, given) -> None:
    one, source = find(state, container), find(state, given.get("VDISK", ""))
    kinds = [SNAPTYPES[word] for word in SNAPTYPES if word in given]
    if one["form"] != "container" or len(kinds) != 1:
        raise Refused("Not a container, or no snaptype")
    one["prepared"] = f"{kinds[0]} {source['id']}"
    one["state"] = state["traps"]["prepared_state"] or one["state"]


def point_copies(state, folder: Path, members) -> None:
    """All of them or none, at this instant."""
    licensed(state)
    plans, containers = [], set()
    for name, given, form in members:
        source = find(state, given.get("VDISK", ""))
        free_name(state, name)
        kind, container = _kind(state, given, form)
        if container and container["id"] in containers:
            raise Refused("Container named twice")
        containers.add(container["id"] if container else "")
        redundancy = given.get("REDUNDANCY", source["redundancy"]).lower()
        redundancy = container["redundancy"] if container else redundancy
        _may_copy(state, source, kind, container, redundancy)
        if kind in ("demand", "fully") and not container:
            _same_group(state, folder, source, kind, redundancy)
        plans.append((name, given, source, kind, container, redundancy))
    if len({name for name, *_ in plans}) != len(plans):
        raise Refused("Object already exists")
    for name, given, source, kind, container, redundancy in plans:
        _make(state, folder, name, given, source, kind, container, redundancy)


def _kind(state, given, form: str):
    container = find(state, given["CONTAINER"]) if given.get("CONTAINER") else None
    if container and container["form"] != "container":
        raise Refused("Not a container")
    if form:
        return form, container
    if container:
        prepared = container["prepared"].split(" ")[0]
        return prepared or "fully", container
    policy = {"DEMAND": "demand", "FULLY": "fully"}.get(given.get("ALLOCATION_POLICY", "").upper())
    if not policy:
        raise Refused("ALLOCATION_POLICY is missing")
    return policy, None


def _may_copy(state, source, kind: str, container, redundancy: str) -> None:
    if source["form"] in ("demand", "fully"):
        raise Refused("Snapshot of a snapshot is not allowed")
    if source["form"] == "mirrorclone" and (kind == "snapclone" or source["phase"] != "fractured"):
        raise Refused("Not allowed for a mirrorclone in this state")
    if source["form"] == "container" or source["state"] != "good":
        raise Refused("Source is not in a good state")
    below = children(state, source)
    if source["copying"] or any(one["copying"] for one in below):
        raise Refused("Source is normalizing")
    snapshots = [one for one in below if one["form"] in ("demand", "fully")]
    if kind == "snapclone" and (snapshots or any(one["form"] == "mirrorclone" for one in below)):
        raise Refused("Source has a snapshot or mirrorclone")
    if kind != "snapclone" and any(one["form"] != kind for one in snapshots):
        raise Refused("All snapshots must be of the same allocation type")
    if kind != "snapclone":
        _may_snap(source, below, snapshots, redundancy)
    if len(snapshots) >= 16:
        raise Refused("Maximum number of snapshots reached")
    if container and container["size"] != -(-source["size"] // GIB) * GIB:
        raise Refused("Container and source differ in size")
    if container and kind != "snapclone" and container["group"] != source["group"]:
        raise Refused("Container is in another disk group")
    if container and container["prepared"] and container["prepared"].split(" ")[1] != source["id"]:
        raise Refused("Container is prepared for another vdisk")


def _may_snap(source, below, snapshots, redundancy: str) -> None:
    if any(one["form"] == "mirrorclone" for one in below):
        raise Refused("Source has a mirrorclone")
    if eva.RANK.get(redundancy, 9) > eva.RANK[source["redundancy"]]:
        raise Refused("Redundancy is higher than the source's")
    if any(one["redundancy"] != redundancy for one in snapshots):
        raise Refused("All snapshots must be of the same redundancy")


def _same_group(state, folder: Path, source, kind: str, redundancy: str) -> None:
    space(state, folder, source["group"], source["size"] if kind == "fully" else 0, redundancy)


def _make(state, folder: Path, name, given, source, kind, container, redundancy) -> None:
    if source["actual"] != "writethrough" or source["flush"]:
        state["unflushed"] += 1
    more = {"family": source["family"], "folder": source["folder"], "source": source["id"],
            "redundancy": redundancy, "group": source["group"]}  # fmt: skip
    if container:
        copy = container
        copy |= {"name": name, "form": kind, "prepared": "", "created": time.time()} | more | {
            "redundancy": container["redundancy"], "group": container["group"]}  # fmt: skip
        copy["size"] = source["size"]
        os.truncate(eva.image(folder, copy), copy["size"])
        source["cache"] = source["actual"] = "writeback"
    else:
        copy = eva.add_vdisk(state, folder, name, kind, source["size"], **more)
    if given.get("WORLD_WIDE_LUN_NAME"):
        wanted = given["WORLD_WIDE_LUN_NAME"].replace("-", "").lower()
        if any(one["wwn"] == wanted for one in state["vdisks"].values() if one is not copy):
            raise Refused("World wide LUN name is in use")
        copy["wwn"] = wanted
    eva.copy_data(state, folder, source, copy)
    if kind == "snapclone":
        copy["copying"] = time.time() + state["times"]["unshare"]


def add_mirrorclone(state, folder: Path, name: str, given) -> None:
    licensed(state)
    free_name(state, name)
    source = find(state, given.get("VDISK", ""))
    if source["form"] != "original" or source["state"] != "good" or source["copying"]:
        raise Refused("Not allowed for this vdisk")
    below = children(state, source)
    if any(one["copying"] for one in below):
        raise Refused("Source is normalizing")
    if any(one["form"] in ("demand", "fully") for one in below):
        raise Refused("Source has a snapshot")
    group = given.get("DISK_GROUP") or source["group"]
    redundancy = given.get("REDUNDANCY", source["redundancy"]).lower()
    space(state, folder, group, source["size"], redundancy)
    now = time.time()
    eva.add_vdisk(
        state, folder, name, "mirrorclone", source["size"], source=source["id"],
        family=source["family"], folder=source["folder"], group=group, redundancy=redundancy,
        phase="syncing", began=now, until=now + state["times"]["sync"],
    )  # fmt: skip


def _mirrorclone(state, name: str, phase: str, what: str):
    one = find(state, name)
    if one["form"] != "mirrorclone" or one["phase"] != phase:
        raise Refused(f"{what} is not allowed in this state: {one['phase'] or one['form']}")
    return one


def fracture(state, folder: Path, wanted) -> None:
    """All or none. No source says whether a mirrorclone that is still synchronising can be
    fractured (to be dropped): a switch; its bytes are then half copied."""
    found = []
    for name in wanted:
        one = find(state, name)
        if one["phase"] == "syncing" and state["traps"]["fracture_syncing"]:
            one["phase"] = "fractured"
            return
        found.append(_mirrorclone(state, name, "synchronised", "Fracture"))
    if not found:
        raise Refused("No mirrorclone")
    for one in found:
        source = state["vdisks"][one["source"]]
        if source["actual"] != "writethrough" or source["flush"]:
            state["unflushed"] += 1
        eva.copy_data(state, folder, source, one)
        one["phase"] = "fractured"


def resync(state, folder: Path, name: str) -> None:
    one = _mirrorclone(state, name, "fractured", "Resync")
    if presented(state, one):
        raise Refused("Resync is not allowed while the mirrorclone is presented")
    if children(state, one):
        raise Refused("Resync is not allowed: the mirrorclone has snapshots")
    eva.copy_data(state, folder, state["vdisks"][one["source"]], one)
    now = time.time()
    one |= {"phase": "syncing", "began": now, "until": now + state["times"]["sync"]}


def restore(state, folder: Path, source_name: str, name: str) -> None:
    source, one = find(state, source_name), find(state, name)
    # Imagined: a snapclone that is whole may be restored from, one that still copies may not.
    if source["id"] not in (one["source"], one["origin"]) or one["copying"]:
        raise Refused("Not a copy of this vdisk that can be restored")
    if one["state"] != "good":
        raise Refused("Not a copy of this vdisk that can be restored")
    if one["form"] == "mirrorclone" and one["phase"] != "fractured":
        raise Refused("Restore is not allowed in this state")
    if presented(state, one):
        raise Refused("Restore is not allowed while the copy is presented")
    if late := state["traps"]["late_restore"]:
        one["late"] = [time.time() + late, source["id"]]
        return
    eva.restore_data(state, folder, one, source)


def detach(state, name: str) -> None:
    one = _mirrorclone(state, name, "fractured", "Detach")
    one |= {"phase": "", "form": "original", "source": "", "family": one["name"]}


def rename(state, name: str, fresh: str) -> None:
    one = find(state, name)
    if one["name"] == fresh:
        return
    free_name(state, fresh)
    old = one["name"]
    one["name"] = fresh
    if one["form"] in ("original", "container"):
        one["family"] = fresh
        for child in children(state, one):
            child["family"] = fresh if child["family"] == old else child["family"]


def write_cache(state, name: str, mode: str) -> None:
    one = find(state, name)
    if mode.upper() not in ("WRITETHROUGH", "WRITEBACK"):
        raise Refused("Invalid write cache mode")
    one["cache"] = mode.lower()
    one["flush"] = time.time() + (state["times"]["flush"] if one["actual"] != one["cache"] else 0)


def add_lun(state, folder: Path, number: str, given) -> None:
    one, where = find(state, given.get("VDISK", "")), given.get("HOST", "")
    if where not in state["hosts"]:
        raise Refused(f"object not found: {where}")
    if not number.isdigit() or not 1 <= int(number) <= 255:
        raise Refused("Invalid LUN number")
    if one["form"] == "container" or (one["form"] == "mirrorclone" and one["phase"] != "fractured"):
        raise Refused("Not allowed to present it in this state")
    if any(lun["host"] == where and lun["number"] == int(number) for lun in state["luns"]):
        raise Refused("LUN number is in use")
    if any(lun["host"] == where and lun["vdisk"] == one["id"] for lun in state["luns"]):
        raise Refused("Vdisk is presented to this host already")
    state["luns"].append({"host": where, "number": int(number), "vdisk": one["id"]})
    host.update(state, folder)


def delete_lun(state, folder: Path, path: str) -> None:
    kept = [lun for lun in state["luns"] if f"{lun['host']}\\{lun['number']}" != path]
    if len(kept) == len(state["luns"]):
        raise Refused(f"object not found: {path}")
    state["luns"] = kept
    host.update(state, folder)


def delete_vdisk(state, folder: Path, name: str) -> None:
    one = find(state, name)
    if presented(state, one):
        raise Refused("Vdisk is presented")
    if one["form"] == "mirrorclone":
        raise Refused("Mirrorclone must be detached first")
    if children(state, one):
        raise Refused("Vdisk has snapshots or is normalizing")
    if one["copying"]:
        raise Refused("Vdisk is normalizing")
    eva.remove_vdisk(state, folder, one)
