"""PostgreSQL's data folders in the mounted copies: found, and made ready on the view for a server
that must reach nothing but the copies.

Links of a data folder name production's paths. Each is turned to the copy that has what it named;
one that no copy has fails the check, for the server would use production's own files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from exshadow.model import Json
from exshadow.service.checks import folders
from exshadow.service.checks.bench import Bench
from exshadow.service.checks.ground import Unsound
from exshadow.service.checks.programs import Account

_WAL = ("pg_wal", "pg_xlog")
# Of the copy's server: whom it was, what it stood by for. The copy has to recover by itself.
_NOT_OURS = (
    "postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal", "recovery.conf",
    "postgresql.auto.conf",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data folder; `name` as people know it."""

    number: int
    folder: Path
    name: str
    version: str


def find(bench: Bench, tops: tuple[Path, ...]) -> list[Cluster]:
    """Folders with PG_VERSION and a control file."""
    found: list[Cluster] = []
    for folder, inner, files in folders.walk(bench, tops):
        if "PG_VERSION" in files and (folder / "global" / "pg_control").is_file():
            inner.clear()
            text = (folder / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
            version = text if text.replace(".", "").isdecimal() else "unknown"
            found.append(Cluster(len(found) + 1, folder, folders.shown(bench, folder), version))
    return found


@dataclass(frozen=True, slots=True)
class Turned:
    """A link that named one of production's paths. `space`: it is a tablespace's."""

    name: str
    named: str
    taken: Path
    shown: str
    space: bool

    def to_json(self) -> Json:
        return {"link": self.name, "named": self.named, "taken": self.shown}


def prepare(bench: Bench, cluster: Cluster, account: Account) -> list[Turned]:
    """Make the data folder on the view fit for `account`; the links that were turned."""
    for name in _NOT_OURS:
        (cluster.folder / name).unlink(missing_ok=True)
    turned: list[Turned] = []
    done: set[Path] = set()
    left = [cluster.folder]
    while left:
        top = left.pop()
        if top in done:
            continue
        done.add(top)
        for link in _links(top):
            bench.ground.tick()
            target = _turn(bench, cluster, link, turned)
            if target.is_dir() and not target.is_relative_to(cluster.folder):
                left.append(target)
    _forget_tablespace_map(cluster)
    for top in done:
        _own(top, account)
    _let_in(bench, account)
    return turned


def _links(top: Path) -> Iterator[Path]:
    for folder, folders_, files in os.walk(top):
        for name in (*folders_, *files):
            path = Path(folder) / name
            if path.is_symlink():
                yield path


def _turn(bench: Bench, cluster: Cluster, link: Path, turned: list[Turned]) -> Path:
    """Where the link leads in the copies; it is made anew when it led elsewhere. Unsound."""
    if (here := link.resolve()).is_relative_to(bench.tree) and here.exists():
        return here
    said = str(link.readlink())
    target = _counterpart(bench, link, said)
    name = (
        str(link.relative_to(cluster.folder)) if link.is_relative_to(cluster.folder) else link.name
    )
    if target is None:
        raise Unsound(f"{name} leads to {said}, which no copy of the set has")
    link.unlink()
    link.symlink_to(target)
    space = link.parent.name == "pg_tblspc"
    turned.append(Turned(name, said, target, folders.shown(bench, target), space))
    return target


def _counterpart(bench: Bench, link: Path, said: str) -> Path | None:
    """What `said` is in the copies: the one that agrees in most of the path's last names and looks
    like what the link is for. Unsound when two copies agree equally well."""
    parts = PurePath(os.path.normpath(said)).parts[1:]
    tops = _mounted(bench)
    for skipped in range(len(parts) + 1):
        fits = [
            found for top in tops if _fits(link, found := top.joinpath(*parts[skipped:]), bench)
        ]
        if len(fits) > 1:
            names = ", ".join(folders.shown(bench, one) for one in fits)
            raise Unsound(f"{link.name} leads to {said}, which could be any of {names}")
        if fits:
            return fits[0]
    return None


def _mounted(bench: Bench) -> list[Path]:
    found = [bench.tree / disk.name for disk in bench.disks()]
    return [one for one in found if one.is_dir()]


def _fits(link: Path, path: Path, bench: Bench) -> bool:
    if path.is_symlink() or not path.resolve().is_relative_to(bench.tree):
        return False
    if link.name in _WAL:
        return path.is_dir() and any(is_segment(one.name) for one in path.iterdir())
    if link.parent.name == "pg_tblspc":
        return path.is_dir() and any(one.name.startswith("PG_") for one in path.iterdir())
    return path.exists() and path not in (bench.tree, *_mounted(bench))


def is_segment(name: str) -> bool:
    """Whether a file is called as a segment of PostgreSQL's log."""
    return len(name) == 24 and all(one in "0123456789ABCDEF" for one in name)


def _forget_tablespace_map(cluster: Cluster) -> None:
    """It would lead the links back to production. Unsound when one of them is not there."""
    file = cluster.folder / "tablespace_map"
    if file.is_symlink() or not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        number = line.partition(" ")[0]
        if not (cluster.folder / "pg_tblspc" / number).exists():
            raise Unsound(f"tablespace {number} is in tablespace_map and in no copy of the set")
    file.unlink()


def _own(top: Path, account: Account) -> None:
    """Give everything to the account that runs the server."""
    if top.lstat().st_uid == account.user:
        return
    for folder, folders_, files in os.walk(top):
        for path in (Path(folder), *(Path(folder) / name for name in (*folders_, *files))):
            os.lchown(path, account.user, account.group)


def _let_in(bench: Bench, account: Account) -> None:
    """The account may pass through the place; nobody else may."""
    for folder in (bench.place, bench.tree):
        os.chown(folder, 0, account.group)
        folder.chmod(0o710)
