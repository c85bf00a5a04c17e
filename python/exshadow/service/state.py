"""The state folder: volume files ``NAME.exv``, the catalog, and where metadata copies lie.

Reading it takes no lock, starts nothing and creates nothing. A volume's optional metadata copy is
remembered by the symbolic link ``NAME.metadata-copy``: it must be found when both the volume file
and the catalog are lost.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, Error, NotFoundError, make
from exshadow.model import VolumeRecord
from exshadow.names import check_name, close_match, is_name
from exshadow.service.records import volume_record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUFFIX = ".exv"
COPY_SUFFIX = ".metadata-copy"
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Survey:
    """All volumes that could be read, by name, and what is wrong with the others."""

    volumes: Mapping[str, VolumeRecord]
    problems: Mapping[str, Error]

    def group(self, name: str) -> tuple[VolumeRecord, ...]:
        return tuple(volume for volume in self.volumes.values() if volume.group == name)

    @property
    def problem(self) -> Error | None:
        """The first problem, naming its volume."""
        return next(iter(self.problems.values()), None)


def locate(option: str | None, environment: Mapping[str, str], *, root: bool) -> Path:
    """The state folder by the rule of the interface: option, environment, default."""
    if chosen := option or environment.get("EXSHADOW_STATE"):
        return Path(chosen).absolute()
    if root:
        return Path("/var/lib/exshadow")
    base = environment.get("XDG_STATE_HOME", "")
    # The XDG rules: a relative path is to be ignored.
    home = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return home / "exshadow"


class StateFolder:
    """One state folder. `catalog_url` replaces the SQLite file of the folder."""

    def __init__(self, path: Path, catalog_url: str | None = None) -> None:
        self.path = path
        self.catalog_url = catalog_url or None

    @property
    def catalog_file(self) -> Path:
        return self.path / "catalog.sqlite"

    @property
    def control_socket(self) -> Path:
        """Where a running daemon answers; a dead one may have left it."""
        return self.path / "control.sock"

    @property
    def nbd_socket(self) -> Path:
        return self.path / "nbd.sock"

    @property
    def owner(self) -> str:
        """What tells this state folder's rows of a shared catalog from others'. It goes with the
        folder, so that a cluster's next node finds its rows. Empty with a catalog of its own."""
        if not self.catalog_url:
            return ""
        file = self.path / "owner"
        try:
            return file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return self._new_owner(file)

    def _new_owner(self, file: Path) -> str:
        """Written whole or not at all; of two at once one wins, for both."""
        self.create()
        fresh = self.path / f".owner.{uuid.uuid4()}"
        fresh.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        with suppress(FileExistsError):
            os.link(fresh, file)
        fresh.unlink()
        return file.read_text(encoding="ascii").strip()

    def create(self) -> None:
        """Make the folder, for its owner only. An existing one keeps its mode."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            code = "permission" if isinstance(error, PermissionError) else "invalid"
            raise make(
                code,
                f"cannot make the state folder {self.path}: {error.strerror}",
                "choose another one with --state DIR",
            ) from error

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the folder while a plex is looked for in all volumes and then added to one: nobody
        else adds the same meanwhile. BusyError when somebody holds it for long."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BusyError(
                            f"the state folder {self.path} is held by another command",
                            hint="try again when it has ended",
                        ) from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    def volume_file(self, name: str) -> Path:
        return self.path / f"{check_name(name, 'volume name')}{SUFFIX}"

    def metadata_copy(self, name: str) -> str | None:
        """Path of the second metadata copy, None when the volume has none."""
        try:
            return str((self.path / f"{name}{COPY_SUFFIX}").readlink())
        except OSError:
            return None

    def usable_metadata_copy(self, name: str) -> str | None:
        """The same, None while it is out of reach: the volume goes on without it and says so."""
        copy = self.metadata_copy(name)
        if copy and (Path(copy).exists() or not self.volume_file(name).exists()):
            return copy
        return None

    def remember_metadata_copy(self, name: str, path: str | None) -> None:
        link = self.path / f"{name}{COPY_SUFFIX}"
        link.unlink(missing_ok=True)
        if path is not None:
            link.symlink_to(path)

    def names(self) -> list[str]:
        """Names of all volumes, sorted. PermissionRefusedError when the folder may not be read."""
        try:
            entries = [entry.name for entry in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise make("invalid", f"the state folder {self.path} is not a folder") from error
        except PermissionError as error:
            raise make("permission", f"the state folder {self.path} cannot be read") from error
        found = {
            entry.removesuffix(suffix)
            for entry in entries
            for suffix in (SUFFIX, COPY_SUFFIX)
            if entry.endswith(suffix)
        }
        return sorted(name for name in found if is_name(name))

    def exists(self, name: str) -> bool:
        return os.path.lexists(self.volume_file(name)) or self.metadata_copy(name) is not None

    def inspect(self, name: str) -> VolumeRecord:
        """One volume without a lock. NotFoundError; IntegrityError when its file is damaged."""
        from exshadow import _core

        file = self.volume_file(name)
        if not self.exists(name):
            known = self.names()
            listed = f"{close_match(name, known)}volumes: {', '.join(known)}"
            adding = "add one with: exshadow volume add NAME PATH"
            raise NotFoundError(
                f"no volume {name!r}",
                hint=f"{listed}; see: exshadow volume list" if known else adding,
            )
        copy = self.usable_metadata_copy(name)
        return volume_record(_core.inspect(str(file), metadata_copy=copy))

    def changed(self, name: str, label: str, since: str | None) -> npt.NDArray[np.int64]:
        """Rows of offset and length where snapshot `label` may differ from production, or from
        snapshot `since`; without a lock."""
        from exshadow import _core

        return _core.inspect_changed(
            str(self.volume_file(name)),
            label,
            since,
            metadata_copy=self.usable_metadata_copy(name),
        )

    def survey(self) -> Survey:
        """All volumes without a lock."""
        volumes: dict[str, VolumeRecord] = {}
        problems: dict[str, Error] = {}
        for name in self.names():
            try:
                volumes[name] = self.inspect(name)
            except NotFoundError:
                continue  # removed since the folder was listed
            except Error as error:
                error.message = f"volume {name}: {error.message}"
                problems[name] = error
        return Survey(volumes, problems)

    def group(self, name: str) -> tuple[VolumeRecord, ...]:
        """All volumes of a group. NotFoundError when it has none."""
        check_name(name, "group name")
        survey = self.survey()
        if found := survey.group(name):
            return found
        if name in survey.problems:
            raise survey.problems[name]
        if other := survey.volumes.get(name):
            hint = f"volume {name} is in group {other.group}; see: exshadow volume list"
            raise NotFoundError(f"no group {name!r}", hint=hint)
        raise no_group(name, survey)


def no_group(name: str, survey: Survey) -> NotFoundError:
    """The error for a group that no volume is in, with those that there are."""
    known = sorted({volume.group for volume in survey.volumes.values()})
    listed = f"{close_match(name, known)}groups: {', '.join(known)}; see: exshadow volume list"
    adding = "no volume was added yet: exshadow volume add NAME PATH --group GROUP"
    return NotFoundError(f"no group {name!r}", hint=listed if known else adding)
