"""Fixtures of the Python tests: a state folder, image files, and the command line as a process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fork_server import ForkServer

import exshadow

# A job in the background of a shell ignores Ctrl-C, and so do its children: tests need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MIB = 1 << 20
COMMAND = [sys.executable, "-m", "exshadow"]


@pytest.fixture(autouse=True)
def creation_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run side by side do not wait for each other's snapshot sets."""
    monkeypatch.setenv("EXSHADOW_VSS_SLOT", str(tmp_path / "vss.lock"))


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """What a test installed in this process goes with it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        if handler is not None:
            signal.signal(number, handler)


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; fails when there is anything else."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        for line in self.err.splitlines():
            json.loads(line)
        return found


class Cli:
    """Runs ``exshadow`` on one state folder."""

    def __init__(self, state: Path, server: ForkServer) -> None:
        self.state = state
        self.server = server
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("EXSHADOW_")
        } | {
            "EXSHADOW_STATE": str(state),
            "EXSHADOW_VSS_SLOT": os.environ["EXSHADOW_VSS_SLOT"],
            "COLUMNS": "100",
        }

    served = False

    def write(self, volume: str, offset: int, data: bytes) -> None:
        """Write through the engine, as an application would."""
        with self.opened(volume) as opened:
            opened.write(offset, data)
            opened.flush()

    @contextmanager
    def opened(self, volume: str) -> Iterator[exshadow.Volume]:
        """The volume, open."""
        with exshadow.Engine() as engine:
            yield engine.open(str(self.state / f"{volume}.exv"))

    def left_no_state(self) -> bool:
        """Whether there is no state folder; a daemon's is there from its start."""
        return self.served or not self.state.exists()

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start ``python -m exshadow`` with pipes."""
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, *arguments: str | Path, status: int = 0) -> Result:
        """Run to the end and demand this exit status; never a traceback."""
        ended, out, err = self.server.run([*map(str, arguments)], self.environment)
        assert "Traceback" not in err, err
        assert ended == status, f"{arguments}: {ended}\n{out}\n{err}"
        return Result(ended, out, err)

    def json(self, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
        """The same with --json: the document."""
        return self("--json", *arguments, status=status).document

    def error(self, status: int, *arguments: str | Path) -> dict[str, str]:
        """What a command fails with."""
        document = self.json(*arguments, status=status)
        assert set(document["error"]) == {"code", "message", "hint"}
        assert document["error"]["message"]
        return document["error"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that does not exist yet."""
    return tmp_path / "state"


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with closing(ForkServer()) as server:
        yield server


@pytest.fixture
def cli(state: Path, fork_server: ForkServer) -> Cli:
    return Cli(state, fork_server)


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., Path]:
    """Makes files of incompressible bytes: ``image("a.img", size=MIB)``."""

    def make(name: str, size: int = MIB) -> Path:
        path = tmp_path / name
        path.write_bytes(random.Random(name).randbytes(size))
        return path

    return make


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where files may be sparse and larger than any disk."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Shop:
    """Two volumes in one group, each with a mirror m2."""

    cli: Cli
    folder: Path

    def write(self, volume: str, offset: int, data: bytes) -> None:
        self.cli.write(volume, offset, data)

    def bytes(self, name: str) -> bytes:
        return (self.folder / f"{name}.img").read_bytes()


@pytest.fixture
def shop(cli: Cli, image: Callable[..., Path], tmp_path: Path) -> Shop:
    # In this process: four commands less to start for each of many tests.
    from exshadow.service import mirrors, volumes
    from exshadow.service.desk import Desk
    from exshadow.service.state import StateFolder

    with closing(Desk(StateFolder(cli.state))) as desk:
        for name, size in (("db", 2 * MIB), ("logs", MIB)):
            volumes.add(desk, name, str(image(f"{name}.img", size)), group="shop")
            mirrors.add(desk, name, str(tmp_path / f"{name}-m2.img"), label="m2")
    return Shop(cli, tmp_path)


# --- the engine itself ---


def make_image(path: Path, size: int = 4 * MIB) -> Path:
    """A file of incompressible bytes that depend on its name."""
    path.write_bytes(random.Random(os.fsencode(path.name)).randbytes(size))
    return path


@pytest.fixture
def engine() -> Iterator[exshadow.Engine]:
    with exshadow.Engine() as opened:
        yield opened


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., exshadow.Volume]:
    """Creates a volume with a mirror m2: ``make(engine, "db", size=MIB, mirror=False)``."""

    def build(engine: exshadow.Engine, name: str = "db", size: int = 4 * MIB, mirror: bool = True):
        plex = make_image(tmp_path / f"{name}.img", size)
        volume = engine.create(tmp_path / f"{name}.exv", plex=plex)
        if mirror:
            volume.add_plex(tmp_path / f"{name}-m2.img", label="m2").wait()
        return volume

    return build


@pytest.fixture(scope="session")
def catalog_server() -> Iterator[Any]:
    """A PostgreSQL server for catalogs (catalog_server.new_database)."""
    from catalog_server import running_server

    with running_server() as server:
        yield server
