"""Wine with the test double: a throw-away prefix, its programs, what the double wrote down."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("EXSHADOW_MINGW_BUILD", ROOT / "build" / "mingw"))
WINE = shutil.which("wine64") or shutil.which("wine")


def windows_path(path: Path) -> str:
    """A path of this system as Wine's programs see it."""
    return "Z:" + str(path).replace("/", "\\")


def program(name: str) -> Path:
    """A program of the cross build, wherever its folder is."""
    found = sorted(BUILD.rglob(name))
    assert found, f"{name} is not built: make build-mingw"
    return found[0]


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int
    out: str
    err: str


def heaps_at_one_place() -> None:
    """Have what is started from here on find its heap right behind its code, not up to 1 GiB on.

    Wine 8 wants the address 0x7ffe0000 of each program for what Windows shares there. Its loader
    lies at 0x7d000000, and one in some thousands of the heaps that Linux places at random covers
    that address: the program ends with 1 and says nothing (with WINEDEBUG: "failed to map the
    shared user data"). Seen with three of some five thousand programs, and with none of 8,000
    whose heap was where it belongs. Where the system refuses (containers may), nothing changes.
    """
    addr_no_randomize, ask = 0x0040000, 0xFFFFFFFF  # personality(2)
    library = ctypes.CDLL(None, use_errno=True)
    before = library.personality(ask)
    if before >= 0:
        library.personality(before | addr_no_randomize)


class Wine:
    """One prefix, its server kept running, the double installed in its System32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if key not in ("DISPLAY",)},
            "WINEPREFIX": str(folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINEARCH": "win64",
            "WINEDLLOVERRIDES": "vssapi=n,b;mscoree,mshtml=;winemenubuilder.exe=",
        }

    def start(self) -> None:
        """Make the prefix and put the double into it."""
        heaps_at_one_place()
        (self.folder / "prefix").mkdir(parents=True)
        self._server("-p300")  # stays for the next program
        assert WINE is not None
        self._quietly([WINE, "wineboot", "--init"])
        system32 = self.folder / "prefix" / "drive_c" / "windows" / "system32"
        shutil.copy(program("vssapi.dll"), system32 / "vssapi.dll")

    def stop(self) -> None:
        """End every program of this prefix, and its server."""
        self._server("-k")
        self._server("-w")

    def run(
        self,
        exe: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        limit: float = 60,
    ) -> Ended:
        """Run one program to its end."""
        assert WINE is not None
        # Files, not pipes: Wine's own services would keep a pipe open after the program has ended.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(
                [WINE, str(exe), *arguments],
                env={**self.environment, **(environment or {})},
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
            return Ended(done.returncode, _text(out), _text(err))

    def _quietly(self, command: list[str]) -> None:
        nowhere = subprocess.DEVNULL
        subprocess.run(
            command,
            env=self.environment,
            check=False,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            timeout=120,
        )

    def _server(self, option: str) -> None:
        self._quietly([shutil.which("wineserver") or "/usr/lib/wine/wineserver64", option])


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace").replace("\r\n", "\n")


@dataclass
class Machine:
    """One scenario's machine under the double: its world, its disks, its log."""

    wine: Wine
    folder: Path
    world: dict[str, Any]
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write the world down where the double reads it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "world.json").write_text(json.dumps(self.world), encoding="utf-8")

    def run(self, exe: Path, *arguments: str, limit: float = 60) -> Ended:
        """Run a requestor on this machine."""
        return self.wine.run(exe, *arguments, environment=self.environment, limit=limit)

    @property
    def environment(self) -> dict[str, str]:
        """What tells the double its machine."""
        return {
            "EXSHADOW_VSS_SCENARIO": windows_path(self.folder / "world.json"),
            "EXSHADOW_VSS_STATE": windows_path(self.folder / "state.json"),
            "EXSHADOW_VSS_LOG": windows_path(self.folder / "log.jsonl"),
            **self.extra,
        }

    @property
    def log(self) -> list[dict[str, Any]]:
        """What the double wrote down, process by process, each in the order of its numbers."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return []
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        order = {
            process: i for i, process in enumerate(dict.fromkeys(line["process"] for line in lines))
        }
        return sorted(lines, key=lambda line: (order[line["process"]], line["n"]))

    def calls(self) -> list[tuple[str, str]]:
        """What the requestor asked of IVssBackupComponents and how it was answered."""
        return [
            (line["call"], line["result"])
            for line in self.log
            if line.get("object") == "IVssBackupComponents"
        ]

    def callbacks(self) -> list[tuple[str, str]]:
        """The callbacks of writers and providers, as (actor, event)."""
        return [(line["actor"], line["callback"]) for line in self.log if "callback" in line]

    def reports(self) -> list[dict[str, Any]]:
        """One count of objects and blocks for each process that ended by itself."""
        return [line["report"] for line in self.log if "report" in line]

    def leaks(self) -> list[str]:
        """What was handed out and not given back; a process that was killed reports nothing."""
        assert self.reports(), "no process wrote its report: nothing is known of leaks"
        return [
            f"{kind}: {left} of {made}"
            for report in self.reports()
            for counts in report.values()
            for kind, (made, left) in counts.items()
            if left != 0
        ]

    @property
    def state(self) -> dict[str, Any]:
        """The machine's disks."""
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        return found
