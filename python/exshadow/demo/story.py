"""The story the demo tells, step by step. See the package's head."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.demo.application import Application, build_database, judge_database
from exshadow.demo.ext4 import BLOCK, Ext4Image, find_tools
from exshadow.demo.mail_pair import MailPair, hindrance
from exshadow.demo.report import Report
from exshadow.demo.sizes import SIZES, Size
from exshadow.errors import InvalidError, NoSpaceError, PermissionRefusedError
from exshadow.service.reporter import Reporter

if TYPE_CHECKING:
    from exshadow import Engine, Snapshot, Volume

_DATABASE = "/mail.db"
_DAMAGED_PAGES = 48


def run(
    size: str,
    reporter: Reporter,
    *,
    folder: Path | None = None,
    keep: bool = False,
    second_act: bool = True,
) -> Report:
    """Tell the whole story; the report of all steps and checks. The second act is skipped, with the
    reason in the report, where it cannot be played.

    The files lie in a new folder within `folder` and stay there with `keep`. NotFoundError:
    e2fsprogs is missing; IntegrityError: something that must be sound is not, or damage did not
    show.
    """
    if size not in SIZES:
        raise InvalidError(f"no size {size!r}", hint=f"one of {', '.join(SIZES)}")
    tools = find_tools()
    report = Report(size, reporter)
    with _workplace(folder, keep) as place:
        if keep:
            report.kept_in = str(place)
        needed = SIZES[size].image_size * 4
        if shutil.disk_usage(place).free < needed:
            raise NoSpaceError(f"{place} has less than {needed >> 20} MiB free", hint="use --dir")
        Story(SIZES[size], place, tools, report).tell()
        if not second_act:
            return report
        if why := hindrance():
            report.skip(f"the second act, a mail server's roll-forward, is left out: {why}")
        else:
            MailPair(place, report).play()
    return report


@contextlib.contextmanager
def _workplace(folder: Path | None, keep: bool) -> Iterator[Path]:
    """A new folder within `folder` that goes with the demo unless `keep`."""
    made = [one for one in (folder, *folder.parents) if not one.exists()] if folder else []
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="exshadow-demo-", dir=folder))
    except (FileExistsError, NotADirectoryError) as problem:
        _remove_empty(made)
        raise InvalidError(f"{folder} is not a folder") from problem
    except OSError as problem:
        raise PermissionRefusedError(f"cannot use {folder}: {problem.strerror}") from problem
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
            _remove_empty(made)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made for the demo, innermost first, unless somebody uses them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


class Story:
    """One server: an image with a file system, an application, a volume over the image."""

    def __init__(self, size: Size, place: Path, tools: dict[str, str], report: Report) -> None:
        self._size, self._place, self._report = size, place, report
        self._production = Ext4Image(place / "mail.img", tools)
        self._mirror = place / "mail-m2.img"
        self._staged = place / "staged.db"
        self._extracted = place / "extracted.db"

    def tell(self) -> None:
        """All steps in their order; raises as :func:`run` says."""
        from exshadow import Engine

        self._build_server()
        with Engine() as engine:
            volume = self._adopt(engine)
            snapshot, noon = self._work_and_split(engine, volume)
            copy = Path(snapshot.path)
            frozen = self._witness("the snapshot, a plain image", copy, noon)
            self._damage(volume)
            self._show_damage()
            self._restore(volume, snapshot)
            after = self._witness("production", self._production.path, noon)
            self._report.check("production equals the snapshot", after == frozen, after[:16])
            again = sha256(copy)
            self._report.check("the restore left the snapshot alone", again == frozen, again[:16])
            self._work_and_resync(volume, snapshot)
        with self._report.step("compare") as step:
            ours, theirs = sha256(self._production.path), sha256(self._mirror)
            step.detail = "production and mirror after the end"
        self._report.check("production and mirror are identical", ours == theirs, ours[:16])

    def _build_server(self) -> None:
        with self._report.step("build") as step:
            root = self._place / "root"
            (root / "logs").mkdir(parents=True)
            database = root / _DATABASE[1:]
            build_database(database, self._size.rows)
            for number in range(self._size.logs):
                (root / "logs" / f"{number:04}.log").write_bytes(os.urandom(1500))
            self._production.build(root, self._size.image_size)
            database.rename(self._staged)
            shutil.rmtree(root)
            megabytes = self._staged.stat().st_size / 1e6
            step.detail = f"ext4 with a SQLite database of {megabytes:.0f} MB"
        ok, seen = self._production.fsck()
        self._report.check("the file system is sound to begin with", ok, seen)

    def _adopt(self, engine: Engine) -> Volume:
        before = sha256(self._production.path)
        with self._report.step("adopt") as step:
            path = str(self._place / "mail.exv")
            volume = engine.create(path, plex=str(self._production.path))
            step.detail = f"{volume.size >> 20} MiB in regions of {volume.region_size >> 10} KiB"
        after = sha256(self._production.path)
        self._report.check("adopting leaves the bytes alone", before == after, after[:16])
        return volume

    def _application(self, volume: Volume) -> Application:
        """Writes pages where the file system keeps them."""
        blocks = self._production.blocks_of(_DATABASE)

        def write_page(page: int, data: bytes) -> None:
            volume.write(int(blocks[page]) * BLOCK, data)

        return Application(self._staged, write_page, volume.flush)

    def _work_and_split(self, engine: Engine, volume: Volume) -> tuple[Snapshot, str]:
        """Mirror and split under writes, then write on. Returns the database's digest too."""
        with contextlib.closing(self._application(volume)) as application:
            with application:
                self._add_mirror(volume)
                self._let_work(application, application.transactions + self._size.transactions)
                snapshot, noon = self._split(engine, volume, application)
            with self._report.step("keep writing") as step:
                before = application.transactions
                for _ in range(self._size.transactions):
                    application.transact()
                pages = application.pages_written
                count = application.transactions
                step.detail = f"{count - before} transactions; {count} so far, {pages} pages in all"
        changed = int(snapshot.changed()[:, 1].sum())
        self._report.check(
            "the change map knows the writes since",
            0 < changed < volume.size,
            f"{changed >> 10} KiB",
        )
        return snapshot, noon

    def _add_mirror(self, volume: Volume) -> None:
        with self._report.step("mirror") as step:
            done = volume.add_plex(str(self._mirror), label="m2").wait()
            step.moved = done["bytes_copied"]
            step.detail = "the application writing meanwhile"

    def _let_work(self, application: Application, until: int) -> None:
        with self._report.step("work") as step:
            application.wait_for(until)
            step.detail = f"{application.transactions} transactions on the mirrored volume"

    def _split(
        self, engine: Engine, volume: Volume, application: Application
    ) -> tuple[Snapshot, str]:
        with self._report.step("snapshot") as step:
            plexes = {volume.name: "m2"}
            with application.frozen() as digest:
                start = time.perf_counter()
                split = engine.split([volume], "noon", plexes=plexes, consistency="application")
                held = 1000 * (time.perf_counter() - start)
            step.detail = f"application frozen for {held:.1f} ms"
        return split[volume.name], digest()

    def _witness(self, what: str, image: Path, noon: str) -> str:
        """fsck, the database's own check, its content; returns the image's digest."""
        file_system = self._production.at(image)
        ok, seen = file_system.fsck()
        self._report.check(f"{what}: the file system is sound", ok, seen)
        read = file_system.extract(_DATABASE, self._extracted)
        ok, seen = judge_database(self._extracted) if read else (False, "cannot be read")
        self._report.check(f"{what}: the database is sound", ok, seen)
        found = sha256(self._extracted)
        self._report.check(f"{what}: the database is that of noon", found == noon, found[:16])
        return sha256(image)

    def _damage(self, volume: Volume) -> None:
        """Noise over two blocks of the inode table and over pages of the database."""
        blocks = self._production.blocks_of(_DATABASE)
        spared = {self._production.inode_block(name) for name in ("/", "/logs", _DATABASE)}
        logs = (f"/logs/{number:04}.log" for number in range(self._size.logs))
        tables = sorted({self._production.inode_block(name) for name in logs_sample(logs)} - spared)
        chooser = random.Random(13)
        pages = chooser.sample(range(1, len(blocks)), _DAMAGED_PAGES)
        with self._report.step("damage") as step:
            places = [*tables[:2], *(int(blocks[page]) for page in pages)]
            for place in places:
                volume.write(place * BLOCK, chooser.randbytes(BLOCK))
            volume.flush()
            step.detail = f"noise over {len(tables[:2])} inode table blocks, {len(pages)} pages"

    def _show_damage(self) -> None:
        sound, seen = self._production.fsck()
        self._report.check("production: the file system is damaged", not sound, seen)
        read = self._production.extract(_DATABASE, self._extracted)
        sound, seen = judge_database(self._extracted) if read else (False, "cannot be read")
        self._report.check("production: the database is damaged", not sound, seen)

    def _restore(self, volume: Volume, snapshot: Snapshot) -> None:
        with self._report.step("restore") as step:
            done = volume.restore(snapshot, mode="copy").wait()
            step.moved = done["bytes_copied"]
            step.detail = f"of {volume.size >> 20} MiB, changed regions only"

    def _work_and_resync(self, volume: Volume, snapshot: Snapshot) -> None:
        """The application goes on from the restored database while the mirror comes back."""
        shutil.copyfile(self._extracted, self._staged)
        with contextlib.closing(self._application(volume)) as application:
            for _ in range(self._size.transactions):
                application.transact()
            with application, self._report.step("resync") as step:
                done = volume.resync(snapshot).wait()
                step.moved = done["bytes_copied"]
                step.detail = "the application writing meanwhile"
        with self._report.step("verify") as step:
            volume.verify().wait()
            step.detail = "all in-sync plexes compared"
        states = [plex["state"] for plex in volume.plexes]
        self._report.check("both plexes are in sync", states == ["in_sync"] * 2, ", ".join(states))


def logs_sample(names: Iterator[str]) -> list[str]:
    """Every 16th: one a block of the inode table, as 16 inodes of 256 bytes fill one."""
    return list(names)[::16]


def sha256(path: Path) -> str:
    """Hex digest of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
