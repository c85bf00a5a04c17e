"""A database on volumes of a group "shop", sets of it by command, and what a set's writer said."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import need_root, run, sparse

from interop.beds import need
from interop.commands import Commands
from interop.load import Load


@dataclass
class Shop:
    """The volumes by their sizes; each has one mirror, m2."""

    commands: Commands
    bed: Path
    names: tuple[str, ...]

    @property
    def live(self) -> Path:
        return self.bed / "live"

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        with self.commands.placed(self.live, self.names):
            yield self.live

    @contextmanager
    def copy(self, label: str, **others: str) -> Iterator[Path]:
        """Views of a set, mounted; `others`: volumes of which another set is taken."""
        exports = {name: f"{name}@{others.get(name, label)}" for name in self.names}
        with self.commands.view(self.bed / "copy", exports) as place:
            yield place

    def create(self, label: str, writer: str, load: Load) -> tuple[list[int], list[int]]:
        """A set; what was answered before it and begun when it was there."""
        before, begin = load.answered(), time.monotonic()
        self.commands("snapshot", "create", "shop", "--label", label, "--writer", writer)
        seconds = time.monotonic() - begin
        slowest = load.longest(begin, begin + seconds)
        print(f"{label}: {seconds:.1f} s by command, slowest commit {slowest * 1000:.0f} ms")
        return before, load.begun()

    def refuses(self, label: str, writer: str, why: str) -> None:
        """The command fails, says why, and there is no such set."""
        words = ("snapshot", "create", "shop", "--label", label, "--writer", writer)
        process = self.commands.start(*words)
        said, _ = process.communicate(timeout=100)
        assert process.returncode != 0
        assert why in json.loads(said)["error"]["message"]
        assert label not in [one["label"] for one in self.commands("snapshot", "list")["sets"]]

    def resync(self, label: str) -> None:
        self.commands("snapshot", "resync", f"shop@{label}", "--yes")

    def said(self, label: str) -> dict[str, Any]:
        """What the writer put into the set's document."""
        (found,) = (
            one for one in self.commands("snapshot", "list")["sets"] if one["label"] == label
        )
        document = self.commands.state / "documents" / f"{found['id']}.xml"
        (text,) = (
            one.attrib["metadata"]
            for one in ElementTree.parse(document).iter()
            if one.tag.endswith("BACKUP_METADATA")
        )
        return json.loads(text)


@contextmanager
def opened(sizes: dict[str, int]) -> Iterator[Shop]:
    """The volumes with file systems, served."""
    need_root()
    need("nbdfuse", "mkfs.ext4", "runuser")
    bed = Path(tempfile.mkdtemp(prefix="exshadow-shop-"))
    bed.chmod(0o755)
    commands = Commands(bed / "state")
    for name, size in sizes.items():
        image = sparse(bed / f"{name}.img", size)
        run("mkfs.ext4", "-q", "-F", image)
        commands("volume", "add", name, image, "--group", "shop")
        commands("mirror", "add", name, bed / f"{name}-m2.img", "--label", "m2")
    try:
        with commands.serving():
            yield Shop(commands, bed, tuple(sizes))
    finally:
        shutil.rmtree(bed, ignore_errors=True)
