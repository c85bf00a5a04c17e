"""How the imitated SSSU shows objects: XML without a root, the text form, the list form.

Fields and nesting are those of the fact sheet, section 2.4. Imagined: the types of containers,
fully allocated snapshots, snapclones and mirrorclones, ``mirrorclonestate``, progress fields.
"""

from __future__ import annotations

import time
from pathlib import Path

from eva_array import state as eva

TYPES = {
    "original": "original", "demand": "demand_allocated_snapshot",
    "fully": "fully_allocated_snapshot", "container": "container", "snapclone": "snapclone",
    "mirrorclone": "mirrorclone",
}  # fmt: skip
PHASES = {
    "syncing": "Sync in progress", "synchronised": "Synchronized", "fractured": "Fractured",
    "restoring": "Restore in progress",
}  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def path_of(vdisk) -> str:
    head = f"\\Virtual Disks\\{vdisk['folder']}\\{vdisk['family']}"
    return f"{head}\\ACTIVE" if vdisk["form"] == "original" else f"{head}\\{vdisk['name']}"


def dashed(wwn: str) -> str:
    return "-".join(wwn[at : at + 4] for at in range(0, 32, 4))


def stamp(seconds: float) -> str:
    at = time.gmtime(seconds)
    return f"{at.tm_mday:02}-{MONTHS[at.tm_mon - 1]}-{at.tm_year} " + time.strftime("%H:%M:%S", at)


def vdisk_record(state, folder: Path, one) -> dict:
    source = state["vdisks"].get(one["source"])
    children = [x for x in state["vdisks"].values() if x["source"] == one["id"]]
    luns = [lun for lun in state["luns"] if lun["vdisk"] == one["id"]]
    taken = eva.allocated(state, folder, one)
    words = state["traps"]["clone_words"] if one["copying"] else []
    record = {
        "objectid": one["id"], "objectname": path_of(one),
        "objecttype": "snapshot" if one["form"] in ("demand", "fully") else "virtualdisk",
        "objecthexuid": dashed(one["wwn"]), "partitionname": one["name"],
        "parentstoragecellinfo": {"storagecellname": state["array"]["name"]},
        "creationdatetime": stamp(one["created"]),
        "objectparenthexuid": (source or one)["id"],
        "familyname": one["family"], "wwlunid": dashed(one["wwn"]),
        "operationalstate": one["state"], "operationalstatedetail": "operating_normally",
        "allocatedcapacity": f"{taken / (1 << 30):.2f}", "allocatedcapacityblocks": taken // 512,
        "virtualdisktype": words[0] if words else TYPES[one["form"]],
        "requestedcapacity": f"{one['size'] / (1 << 30):.2f}",
        "requestedcapacityblocks": one["size"] // 512,
        "sharingrelationship": words[1] if words else _sharing(one, children),
        "sharinginformation": {
            "parentvdiskname": path_of(source).removesuffix("\\ACTIVE") if source else "n/a",
            "childvdiskname": path_of(children[0]) if children else "n/a",
        },
        "redundancy": one["redundancy"],
        "writecacheactual": one["actual"], "writecache": one["cache"], "mirrorcache": "mirrored",
        "dirtyblockcount": 7 if one["flush"] or one["actual"] != one["cache"] else 0,
        "virtualdiskpresented": "yes" if luns else "no",
        "presentations": [
            ("presentation", {"lunnumber": lun["number"], "hostname": lun["host"]}) for lun in luns
        ],
        "diskgroupname": one["group"],
    }  # fmt: skip
    if one["phase"]:
        record["mirrorclonestate"] = PHASES[one["phase"]]
    if one["phase"] == "syncing":
        long = max(one["until"] - one["began"], 1e-6)
        record["mirrorcloneprogress"] = max(
            0, min(99, int(100 * (time.time() - one["began"]) / long))
        )
    if one["copying"]:
        long = max(one["copying"] - one["created"], 1e-6)
        done = int(100 * (time.time() - one["created"]) / long)
        record["sharingprogress"] = max(1, min(99, done))
    if one["restoring"] == -1:
        one["restoring"] = time.time() + state["times"]["restore"]
    if one["restoring"]:
        record["restoreprogress"] = 50
    return record


def _sharing(one, children) -> str:
    if one["copying"]:
        return "snapclone"
    if any(child["copying"] for child in children):
        return "snapclone_exists"
    if any(child["form"] in ("demand", "fully") for child in children):
        return "snapshot_exists"
    return "snapshot" if one["form"] in ("demand", "fully") else "none"


def group_record(state, folder: Path, path: str, group) -> dict:
    taken = eva.used(state, folder, path)
    record = {
        "objectname": path, "objecttype": "diskgroupfolder", "operationalstate": "good",
        "totalstoragespacegb": f"{group['total'] / (1 << 30):.6f}",
        "usedstoragespacegb": f"{taken / (1 << 30):.6f}",
        "occupancyalarmlevel": group["alarm"], "levelingstate": "inactive",
    }  # fmt: skip
    for level, factor in eva.FACTOR.items():
        free = max(0, group["total"] - taken) / factor
        record[f"{level}storagespacegb"] = f"{free / (1 << 30):.6f}"
    return record


def system_record(state) -> dict:
    array = state["array"]
    return {
        "objectname": array["name"], "objecttype": "storagecell", "objectwwn": array["wwn"],
        "operationalstate": array["state"], "systemtype": array["model"], "firmwareversion": "6110",
        "snaplicensed": "yes" if array["licensed"] else "no",
        "managementhostname": array["managed_by"] or array["manager"],
    }  # fmt: skip


def host_record(path: str) -> dict:
    return {"objectname": path, "objecttype": "host", "operationalstate": "good"}


def lun_record(state, lun) -> dict:
    return {
        "objectname": f"{lun['host']}\\{lun['number']}", "objecttype": "presentedunit",
        "virtualdiskname": path_of(state["vdisks"][lun["vdisk"]]),
        "virtualdiskid": lun["vdisk"], "hostname": lun["host"], "lunnumber": lun["number"],
    }  # fmt: skip


def xml(record: dict, dirty: str = "") -> str:
    lines = [f"{record['objectname']} information:", "<object>", *_elements(record, 1), "</object>"]
    if dirty:
        lines[4:4] = ["\x01", dirty, f"{dirty} \x01"]
    return "\n".join(lines) + "\n"


def _elements(record, depth: int):
    pairs = record.items() if isinstance(record, dict) else record
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield f"{'  ' * depth}<{key}>"
            yield from _elements(value, depth + 1)
            yield f"{'  ' * depth}</{key}>"
        else:
            text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            yield f"{'  ' * depth}<{key}>{text}</{key}>"


def text(record, depth: int = 0) -> str:
    made = ""
    for key, value in record.items() if isinstance(record, dict) else record:
        head = f"{'  ' * depth}{key} ".ljust(40, ".")
        if isinstance(value, dict | list):
            made += f"{head}: \n" + text(value, depth + 1)
        else:
            made += f"{head}: {value}\n"
    return made
