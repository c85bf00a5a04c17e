"""A mail server's database volume and log volume on NTFS, for tests of drills and roll-forwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from checked import digest, make_file_system
from conftest import MIB, Cli
from machine import mounted

from exshadow.demo.mail_files import MailServer

SERVER = MailServer(pages=16)
NOON, NOW = 12, 16
SIZE = 16 * MIB
Edit = Callable[[Path], None]


def database(top: Path) -> None:
    (top / "Mailbox").mkdir(exist_ok=True)
    (top / "Mailbox" / "Mailbox.edb").write_bytes(SERVER.database())


def logs(current: int) -> Edit:
    """Fills the log folder as it is when `current` is the current log."""

    def fill(top: Path) -> None:
        folder = top / "Logs"
        folder.mkdir(exist_ok=True)
        for name, content in SERVER.logs(1, current).items():
            (folder / name).write_bytes(content)
        (folder / "E00.chk").write_bytes(SERVER.checkpoint())

    return fill


def edit(image: Path, change: Edit) -> None:
    with mounted(image, image.parent / "edited", "-t", "ntfs-3g", "-o", "loop") as top:
        change(top)


def make(image: Path, *fills: Edit) -> Path:
    make_file_system("ntfs", image, SIZE)
    for fill in fills:
        edit(image, fill)
    return image


def write_through(cli: Cli, name: str, image: Path, fresh: Path) -> None:
    """Write what differs in `fresh`, which goes, through the volume over `image`."""
    with image.open("rb") as old, fresh.open("rb") as new, cli.opened(name) as volume:
        at = 0
        while piece := new.read(65536):
            if piece != old.read(65536):
                volume.write(at, piece)
            at += len(piece)
        volume.flush()
    fresh.unlink()


@dataclass(frozen=True)
class Pair:
    """Volumes maildb and maillog of group mail, with mirrors; `noon` is their set."""

    cli: Cli
    folder: Path

    def image(self, name: str) -> Path:
        return self.folder / f"{name}.img"

    def digests(self) -> list[str]:
        """Of production and the set's copies."""
        return [digest(path) for path in sorted(self.folder.glob("mail*.img"))]

    def change(self, name: str, change: Edit) -> None:
        """What the server writes: a file system's changes, through the volume."""
        fresh = self.folder / "fresh.img"
        shutil.copyfile(self.image(name), fresh)
        edit(fresh, change)
        write_through(self.cli, name, self.image(name), fresh)

    def break_database(self) -> None:
        content = self.image("maildb").read_bytes()
        at = content.find(SERVER.database()[-32768:])
        assert at > 0
        self.cli.write("maildb", at, b"\xa5" * 32768)

    def roll_forward(self, *more: str, status: int = 0) -> dict:
        return self.cli.json("restore", "noon", "--roll-forward", *more, status=status)

    def refused(self, *more: str, status: int = 4) -> str:
        """The message of a refusal, which changes nothing."""
        before = self.digests()
        error = self.roll_forward(*more, status=status)["error"]
        assert self.digests() == before
        assert (error["code"] == "refused") is (status == 4)
        return error["message"]


def make_pair(cli: Cli, folder: Path, spare: int = 1, fill: Edit = database) -> Pair:
    make(folder / "maildb.img", fill)
    make(folder / "maillog.img", logs(NOON))
    for name in ("maildb", "maillog"):
        cli("volume", "add", name, folder / f"{name}.img", "--group", "mail")
        for number in range(2, 2 + spare):
            mirror = folder / f"{name}-m{number}.img"
            cli("mirror", "add", name, mirror, "--label", f"m{number}")
    cli("snapshot", "create", "mail", "--label", "noon", "--plex", "m2")
    return Pair(cli, folder)
