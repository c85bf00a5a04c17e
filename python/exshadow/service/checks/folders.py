"""Which folders of the mounted copies a check looks into: those named, else all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from exshadow.errors import NotFoundError
from exshadow.service.checks.bench import Bench
from exshadow.service.checks.ground import Unsound


def chosen(bench: Bench, found: dict[str, Path]) -> tuple[Path, ...]:
    """The folders of the wish; the whole tree without any. NotFoundError, InvalidError."""
    named = bench.ground.wish.folders
    if not named:
        return (bench.tree,)
    return tuple(dict.fromkeys(place for text in named for place in _places(text, found)))


def _places(text: str, found: dict[str, Path]) -> list[Path]:
    """Where the folder is: in the disk named before the colon, or in every one that has it."""
    disk, colon, path = text.partition(":")
    if colon and disk in found:
        places = [_inside(found[disk], path)]
    elif colon and disk in {name.partition("/")[0] for name in found}:
        places = [_inside(at, path) for name, at in found.items() if name.startswith(f"{disk}/")]
    else:
        places = [_inside(at, text) for at in found.values()]
    if here := [place for place in places if place.exists()]:
        return here
    raise NotFoundError(
        f"no copy has {text}", hint=f"file systems: {', '.join(found) or 'none were found'}"
    )


def _inside(top: Path, path: str) -> Path:
    return top / path.strip("/")


def walk(bench: Bench, tops: tuple[Path, ...]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """os.walk over the folders, links not followed, until time is up. Unsound for a folder that
    cannot be read: what is in it would be passed over."""

    def fail(problem: OSError) -> None:
        place = shown(bench, problem.filename or "")
        raise Unsound(f"{place} cannot be read: {problem.strerror}")

    for top in tops:
        for folder, folders, files in os.walk(top, onerror=fail):
            bench.ground.tick()
            folders.sort()
            yield Path(folder), folders, sorted(files)


def shown(bench: Bench, path: Path | str) -> str:
    """A path of the tree as people know it: the volume first."""
    path = Path(path)
    return str(path.relative_to(bench.tree)) if path.is_relative_to(bench.tree) else str(path)
