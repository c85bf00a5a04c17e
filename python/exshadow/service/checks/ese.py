"""Check `ese`: the databases and logs of all copies, judged as one set by exshadow.ese: databases
on one volume recover with logs on another. A copy that is a bare database is one file of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import CancelledError, NotFoundError
from exshadow.ese.generations import spelled
from exshadow.model import Json
from exshadow.service.checks import folders
from exshadow.service.checks.bench import Bench, open_bench
from exshadow.service.checks.ground import Ground, Outcome

if TYPE_CHECKING:
    from exshadow.ese.reports import EseReport

_MAGIC = (0x89ABCDEF).to_bytes(4, "little")
_NAMED = 3


def check(ground: Ground) -> Outcome:
    """A copy in which no database of that kind is found is not proven: it fails."""
    from exshadow import ese

    with open_bench(ground) as bench:
        found = bench.mount_all(writable=False)
        found |= _place_bare_files(bench)
        tops = folders.chosen(bench, found)
        for _ in folders.walk(bench, tops):
            pass  # a folder that cannot be read would be passed over below
        ground.say("ESE databases and logs")
        watch = Watch(ground, lambda path: folders.shown(bench, path))
        try:
            report = ese.check(
                _without_nested(tops), progress=watch.tell, within=_own_ground(bench)
            )
        except NotFoundError:
            return Outcome(False, "no ESE database or log was found")
        except CancelledError:
            watch.reraise()
            raise
        found_there = document(report, bench.tree)
    if not any(one.kind == "database" and one.state != "skipped" for one in report.files):
        return Outcome(False, "no ESE database was found", evidence(found_there), watch.total)
    return Outcome(report.ok, _detail(found_there, report.ok), evidence(found_there), watch.total)


def _place_bare_files(bench: Bench) -> dict[str, Path]:
    """Copies without a file system that are a database: a folder with a link stands for each."""
    found: dict[str, Path] = {}
    paths = {member.volume: member.path for member in bench.ground.one.members}
    for disk in bench.disks():
        if disk.kind or disk.partition:
            continue
        if begins_as_database(disk.device):
            folder = bench.tree / disk.volume
            folder.mkdir(parents=True, exist_ok=True)
            # The copy itself: the engine holds it, and this only reads.
            (folder / f"{disk.volume}.edb").symlink_to(paths[disk.volume])
            found[disk.name] = folder
    return found


def _own_ground(bench: Bench) -> list[Path]:
    """Where the copies' files are: a link to elsewhere leads to production's, or this machine's."""
    return [bench.tree.resolve(), *(Path(one.path).resolve() for one in bench.ground.one.members)]


def _without_nested(tops: tuple[Path, ...]) -> list[Path]:
    return [top for top in tops if not any(top != one and top.is_relative_to(one) for one in tops)]


class Watch:
    """Tells progress and looks at the time while a file is read by the engine."""

    def __init__(self, ground: Ground, shown: Callable[[str], str]) -> None:
        self._ground = ground
        self._shown = shown
        self._stopped: BaseException | None = None
        self._sizes: dict[str, int] = {}

    def tell(self, path: str, done: int, size: int | None) -> bool:
        try:
            self._ground.tick()
        except Exception as stopped:
            self._stopped = stopped  # raised again where no engine is in between
            return False
        self._sizes[path] = size or done
        self._ground.progress(self._shown(path), done, size or done)
        return True

    @property
    def total(self) -> int:
        return sum(self._sizes.values())

    def reraise(self) -> None:
        if self._stopped is not None:
            raise self._stopped


def document(report: EseReport, tree: Path) -> Json:
    """Paths as people know them: the place of the check, `tree`, is gone by then."""
    found: Json = report.to_json()
    for one in (*found["files"], *found["sets"]):
        for key in ("path", "folder"):
            if key in one:
                one[key] = one[key].removeprefix(f"{tree}/")
        one["findings"] = [text.replace(f"{tree}/", "") for text in one["findings"]]
    return found


def evidence(found: Json) -> Json:
    """What is wrong first: the end of long lists is left out."""
    files = sorted(found["files"], key=lambda one: (one["ok"], not one["findings"]))
    return {"ok": found["ok"], "sets": found["sets"], "files": files}


def begins_as_database(path: Path | str) -> bool:
    """Whether the file or device begins with the header of an ESE file."""
    with Path(path).open("rb") as file:
        return file.read(8)[4:] == _MAGIC


def _detail(found: Json, ok: bool) -> str:
    files, sets = found["files"], found["sets"]
    if ok:
        needs = [f"{one['base']} needs logs {_span(one)}" for one in sets if one["required"]]
        return "; ".join([f"{len(files)} files sound, {len(sets)} sets recover", *needs[:_NAMED]])
    bad = [f"{one['path']}: {one['findings'][0]}" for one in files if not one["ok"]]
    broken = [f"set {one['base']}: {one['findings'][0]}" for one in sets if not one["ok"]]
    return "; ".join((bad + broken)[:_NAMED])


def _span(one: Json) -> str:
    low, high = one["required"]
    return spelled(low, high)
