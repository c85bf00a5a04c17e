"""What a Linux host sees of presented vdisks: files of a sysfs and a devices folder.

A device keeps its name for one host and LUN number. It is a hard link to the vdisk's image, so what
is written to it is in the array.
"""

from __future__ import annotations

from pathlib import Path

from eva_array import state as eva


def update(state, folder: Path) -> None:
    """Make the files agree with the LUNs."""
    wanted = {}
    for lun in state["luns"]:
        where = f"{lun['host']}\\{lun['number']}"
        name = state["devices"].setdefault(where, "sd" + _letters(len(state["devices"])))
        wanted[name] = state["vdisks"][lun["vdisk"]]
    for old in (folder / "sys/block").iterdir():
        shown = (old / "device/wwid").read_text().strip()
        if old.name not in wanted or shown != f"naa.{wanted[old.name]['wwn']}":
            _gone(folder, old.name)
    for name, vdisk in wanted.items():
        if not (folder / "sys/block" / name).exists():
            _come(folder, name, vdisk)


def _come(folder: Path, name: str, vdisk) -> None:
    device = folder / "sys/block" / name / "device"
    device.mkdir(parents=True)
    (device.parent / "size").write_text(f"{vdisk['size'] // 512}\n")
    (device / "vendor").write_text("HP      \n")
    (device / "model").write_text("HSV210          \n")
    (device / "wwid").write_text(f"naa.{vdisk['wwn']}\n")
    naa = bytes.fromhex(vdisk["wwn"])
    (device / "vpd_pg83").write_bytes(bytes([0, 0x83, 0, 4 + len(naa), 1, 3, 0, len(naa)]) + naa)
    (device / "delete").write_text("")
    (folder / "sys/class/block" / name).symlink_to(f"../../block/{name}")
    (folder / "dev" / name).hardlink_to(eva.image(folder, vdisk))


def _gone(folder: Path, name: str) -> None:
    tree = folder / "sys/block" / name
    for file in (tree / "device").iterdir():
        file.unlink()
    (tree / "device").rmdir()
    (tree / "size").unlink()
    tree.rmdir()
    (folder / "sys/class/block" / name).unlink()
    (folder / "dev" / name).unlink()


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
