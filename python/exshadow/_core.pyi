"""Types of the native engine. Offsets, lengths and sizes are bytes; times are RFC 3339 UTC text.

Every call releases the GIL while it waits and may be made from any thread. Failures are raised as
subclasses of :class:`exshadow.Error` with ``code`` and ``hint``.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, type_check_only

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from exshadow.ese.engine_types import (
    EseCheckpoint,
    EseDatabaseHeader,
    EseFlushMap,
    EseLogBody,
    EseLogHeader,
    EsePageScan,
)

__version__: str

_Path = str | PathLike[str]  # made absolute before the engine sees it

@type_check_only
class PlexInfo(TypedDict):
    label: str
    uuid: str
    path: str
    state: str  # stale syncing in_sync splitting split resyncing failed detached
    size: int
    authority: bool
    bytes_to_sync: int  # what its sync map still holds; 0 when in sync or split
    note: str  # why it is not in sync, "" otherwise

@type_check_only
class SnapshotInfo(TypedDict):
    label: str
    set_id: str
    created: str
    plex: str
    path: str
    state: Literal["creating", "ready", "in_doubt", "resyncing", "restoring", "failed"]
    members: list[str]  # names of the set's volumes
    consistency: str
    pinned_until: str | None
    changed_bytes: int  # upper bound of what differs from production now

@type_check_only
class VolumeInfo(TypedDict):
    name: str
    uuid: str
    group: str
    size: int
    region_size: int
    # restoring: by copy, no I/O until done; moving: an instant restore, content right at once;
    # in_doubt: restored with others that are not here, no I/O until they are
    state: Literal["ok", "restoring", "moving", "in_doubt", "read_only", "closed"]
    clean: bool
    generation: int
    plexes: list[PlexInfo]
    snapshots: list[SnapshotInfo]
    owner: str | None  # "pid 123 on host" while somebody has it open
    active_extents: int
    bytes_to_move: int  # by an instant restore that is under way
    events: list[str]  # said aloud at open or since: stale plexes, full compares, repairs

@type_check_only
class JobProgress(TypedDict):
    kind: str
    state: Literal["running", "done", "cancelled", "failed"]
    bytes_copied: int  # data written to the target
    bytes_zeroed: int
    bytes_done: int  # of bytes_total, whatever way each region was settled
    bytes_total: int
    seconds: float
    note: str  # e.g. why everything is compared

@type_check_only
class ExportStatistics(TypedDict):
    requests: int
    reads: int
    writes: int
    zeroes: int
    flushes: int
    errors: int
    bytes_read: int
    bytes_written: int

@type_check_only
class ConnectionInfo(TypedDict):
    export: str  # "" while the client shakes hands
    peer: str
    writable: bool
    requests: int
    bytes: int

class Job:
    @property
    def kind(self) -> str: ...
    @property
    def done(self) -> bool: ...
    def progress(self) -> JobProgress: ...
    def wait(self, timeout: float | None = None) -> JobProgress:
        """Wait for the end; raises what the job failed with, TimeoutError after `timeout` seconds
        (the job goes on). Ctrl-C interrupts the wait, not the job."""
    def cancel(self) -> None:
        """Ask the job to stop; what it did is kept and the state is resumable."""
    def differences(self) -> npt.NDArray[np.int64]:
        """verify jobs: (n, 2) array of offset and length where in-sync plexes differed."""

class Snapshot:
    @property
    def label(self) -> str: ...
    @property
    def set_id(self) -> str: ...
    @property
    def created(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def plex(self) -> str: ...
    @property
    def volume(self) -> Volume: ...
    def info(self) -> SnapshotInfo: ...
    def check(self) -> None:
        """Raise what a restore from it would be refused with: the copy is gone, or not as it was
        split off. Reads and changes nothing else."""
    def read(self, offset: int, length: int) -> bytes: ...
    def read_into(self, offset: int, buffer: Buffer) -> None: ...
    def changed(self, since: Snapshot | None = None) -> npt.NDArray[np.int64]:
        """(n, 2) array of offset and length: where production (or `since`) may differ from this
        snapshot. Sorted, disjoint, merged, clipped; a superset of the true differences."""

class Volume:
    @property
    def name(self) -> str: ...
    @property
    def uuid(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def region_size(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def plexes(self) -> list[PlexInfo]: ...
    @property
    def snapshots(self) -> dict[str, Snapshot]: ...
    def info(self) -> VolumeInfo: ...
    def read(self, offset: int, length: int) -> bytes: ...
    def read_into(self, offset: int, buffer: Buffer) -> None: ...
    def write(self, offset: int, buffer: Buffer, *, fua: bool = False) -> None: ...
    def zero(self, offset: int, length: int, *, unmap: bool = False) -> None: ...
    def flush(self) -> None: ...
    def add_plex(
        self,
        path: _Path,
        *,
        label: str | None = None,
        overwrite: bool = False,
        limit: int | None = None,
        force: bool = False,
    ) -> Job:
        """Attach a plex and sync it. limit: bytes a second, here and below; None and 0 for none."""
    def sync(self, label: str | None = None, *, limit: int | None = None) -> Job:
        """Continue any unfinished sync, resync or restore; bring a failed, stale or returned plex
        back by its map."""
    def remove_plex(self, label: str) -> None: ...
    def verify(self, *, repair: bool = False, source: str | None = None) -> Job:
        """Compare all in-sync plexes, also under writes. Fails with IntegrityError when they differ
        and repair is off."""
    def verify_snapshot(self, snapshot: Snapshot | str) -> Job:
        """Read the whole copy and compare it with production wherever nothing changed since."""
    def resync(self, snapshot: Snapshot | str, *, limit: int | None = None) -> Job: ...
    def restore(
        self,
        snapshot: Snapshot | str,
        *,
        mode: Literal["copy", "instant"] = "copy",
        limit: int | None = None,
    ) -> Job:
        """Make production what the snapshot is; the snapshot stays. mode copy: no I/O until the job
        is done. mode instant: it is so when this returns, clients go on, and the job moves the
        data; cancelled it only pauses, sync() continues it."""
    def promote(self, snapshot: Snapshot | str) -> None: ...
    def delete_snapshot(self, snapshot: Snapshot | str) -> None: ...
    def pin_snapshot(self, snapshot: Snapshot | str, until: str | None) -> None:
        """Set (RFC 3339, or "forever") or clear (None) the pin kept with the snapshot: while it is
        in force, resync and delete_snapshot are refused."""
    def set_consistency(self, snapshot: Snapshot | str, consistency: str) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class Server:
    @property
    def addresses(self) -> list[str]: ...
    @property
    def connections(self) -> list[ConnectionInfo]: ...
    def exports(self) -> dict[str, ExportStatistics]:
        """Exports by name, with what was done with each so far."""
    def close(self) -> None:
        """Stop accepting, finish what was accepted, flush, and let the clients go. Closing the
        engine does the same."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class Engine:
    def __init__(
        self, *, loop: Literal["auto", "uring", "pool"] = "auto", latency_limit: float = 30.0
    ) -> None:
        """latency_limit: seconds after which a plex that does not answer leaves its mirror."""
    @property
    def loop(self) -> str: ...
    @property
    def volumes(self) -> dict[str, Volume]: ...
    def create(
        self,
        path: _Path,
        *,
        plex: _Path,
        region_size: int = 65536,
        group: str | None = None,
        metadata_copy: _Path | None = None,
        label: str = "p1",
        force: bool = False,
    ) -> Volume: ...
    def open(
        self,
        path: _Path,
        *,
        metadata_copy: _Path | None = None,
        force: bool = False,
        lock_wait: float = 5.0,
    ) -> Volume: ...
    def split(
        self,
        volumes: Sequence[Volume],
        label: str,
        *,
        plexes: Mapping[str, str] | None = None,
        set_id: str | None = None,
        consistency: str = "crash",
    ) -> dict[str, Snapshot]:
        """Split one in-sync plex off every volume at one instant. plexes: volume name to plex
        label. Returns when the whole set is durable; all members split or none."""
    def restore(
        self,
        volumes: Sequence[Volume],
        snapshots: str | Mapping[str, Snapshot | str],
        *,
        mode: Literal["instant"] = "instant",
        limit: int | None = None,
    ) -> dict[str, Job]:
        """Make every volume what its snapshot is, at one instant; all or none. snapshots: a label,
        or volume name to Snapshot or label. It is done when this returns; the jobs, by volume
        name, move the data."""
    def split_turn_ns(self) -> int:
        """How long the last split's turn (the only step between two writes) took."""
    def serve(
        self,
        path: _Path,
        *,
        tcp: tuple[str, int] | None = None,
        views: _Path | None = None,
        view_limit: int = 1073741824,
        connections: int = 256,
    ) -> Server:
        """Serve all volumes, those opened later too, and their snapshots over NBD on a Unix socket
        of mode 0600; tcp: on (host, port) as well, loopback only. views: the folder for
        NAME@LABEL+view, of at most view_limit bytes each."""
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

def inspect(path: _Path, *, metadata_copy: _Path | None = None) -> VolumeInfo:
    """Read a volume file without locking or starting anything."""

def inspect_changed(
    path: _Path, label: str, since: str | None = None, *, metadata_copy: _Path | None = None
) -> npt.NDArray[np.int64]:
    """Snapshot.changed() from the volume file alone, also while another process has it open."""

def machine() -> dict[str, str | bool | int]:
    """What this machine offers: ``io_uring``, ``loop`` chosen, ``kernel``, ``processors``, SIMD."""

def probe_file(path: _Path) -> dict[str, str | bool | int]:
    """How a file or device would be driven: ``size``, ``backing`` (memory, page_cache, direct),
    ``direct``, ``alignment``, ``sector_size``, ``block_device``, ``holes``."""

def copy_benchmark(
    source: _Path, target: _Path, *, loop: str = "auto", direct: bool = True, depth: int = 0
) -> JobProgress:
    """Copy one file onto another of the same size with the engine's copier, flush included."""

def change_map_benchmark(
    size: int, region_size: int, marks: int, seed: int = 1
) -> dict[str, float]:
    """``mark_ns``: nanoseconds per random mark of regions touched before; ``scan_ms``:
    milliseconds for a walk over the resulting map."""

# --- ESE files; exshadow.ese.engine_types has the records ---

class EseFile:
    """One file of the ESE engine, opened for reading only."""

    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @staticmethod
    def open(path: _Path) -> EseFile:
        """A regular file or block device."""
    @staticmethod
    def stream(descriptor: int) -> EseFile:
        """A pipe; the descriptor stays the caller's. Read once, in order."""
    @property
    def size(self) -> int | None:
        """Bytes; None for a stream."""
    def start(self, count: int) -> bytes:
        """The first bytes, at most 64 KiB."""
    def database_header(self) -> EseDatabaseHeader:
        """The better of the two copies; CorruptError when none is sound."""
    def log_header(self) -> EseLogHeader: ...
    def log_body(
        self, current: bool, *, limit: int = 0, progress: Callable[[int], bool] | None = None
    ) -> EseLogBody:
        """``current``: the log being written, where a torn end is repairable."""
    def checkpoint(self) -> EseCheckpoint: ...
    def flush_map(self) -> EseFlushMap: ...
    def flush_map_pages(
        self, *, limit: int = 0, progress: Callable[[int], bool] | None = None
    ) -> EsePageScan:
        """Every data page of a flush map."""
    def scan(
        self,
        *,
        threads: int = 0,
        limit: int = 0,
        listed: int = 1000,
        method: str = "automatic",
        progress: Callable[[int], bool] | None = None,
    ) -> EsePageScan:
        """Every page. ``limit``: bytes a second, 0 for none; ``progress`` returns False to stop."""

# --- exshadow.vss gives these types; here values are plain: records are dictionaries, ids text,
# enumerations numbers, times milliseconds. Failures are those of exshadow.vss.errors.

class VssStep:
    def wait(self, milliseconds: int) -> bool: ...
    def status(self) -> dict[str, object]: ...
    def cancel(self) -> int: ...
    def finish(self, what: str, limit: int, grace: int) -> int: ...

class VssSession:
    """exshadow.vss.BackupComponents is its typed face."""

    def close(self) -> None:
        """End the session: abort what was begun, tell the writers."""
    def initialize_for_backup(self, document: str, /) -> None: ...
    def initialize_for_restore(self, document: str, /) -> None: ...
    def set_context(self, context: int, /) -> None: ...
    def set_backup_state(self, state: dict[str, object], /) -> None: ...
    def set_restore_state(self, type: int, /) -> None: ...
    def enable_writer_classes(self, classes: list[str], /) -> None: ...
    def disable_writer_classes(self, classes: list[str], /) -> None: ...
    def disable_writer_instances(self, instances: list[str], /) -> None: ...
    def session_id(self) -> str: ...
    def gather_writer_metadata(self) -> dict[str, object]: ...
    def writer_metadata(self) -> dict[str, object]: ...
    def writer_metadata_documents(self) -> dict[str, object]: ...
    def free_writer_metadata(self) -> None: ...
    def gather_writer_status(self) -> dict[str, object]: ...
    def writer_status(self) -> dict[str, object]: ...
    def writer_components(self) -> dict[str, object]: ...
    def add_component(self, component: dict[str, object], /) -> None: ...
    def set_previous_backup_stamp(self, component: dict[str, object], stamp: str, /) -> None: ...
    def set_backup_options(self, component: dict[str, object], options: str, /) -> None: ...
    def is_volume_supported(self, provider: str, volume: str, /) -> dict[str, object]: ...
    def start_snapshot_set(self) -> dict[str, object]: ...
    def add_to_snapshot_set(self, volume: str, provider: str, /) -> dict[str, object]: ...
    def prepare_for_backup(self) -> dict[str, object]: ...
    def do_snapshot_set(self) -> dict[str, object]: ...
    def set_backup_succeeded(self, component: dict[str, object], succeeded: bool, /) -> None: ...
    def backup_complete(self) -> dict[str, object]: ...
    def abort_backup(self) -> None: ...
    def save_as_xml(self) -> dict[str, object]: ...
    def snapshot_properties(self, snapshot: str, /) -> dict[str, object]: ...
    def query_snapshots(self) -> dict[str, object]: ...
    def query_providers(self) -> dict[str, object]: ...
    def delete_snapshots(self, id: str, type: int, force: bool, /) -> dict[str, object]: ...
    def break_snapshot_set(self, set: str, /) -> None: ...
    def break_snapshot_set_ex(self, set: str, flags: int, /) -> dict[str, object]: ...
    def import_snapshots(self) -> dict[str, object]: ...
    def expose_snapshot(
        self, snapshot: str, path_from_root: str, how: int, name: str, /
    ) -> dict[str, object]: ...
    def unexpose_snapshot(self, snapshot: str, /) -> None: ...
    def revert_to_snapshot(self, snapshot: str, force_dismount: bool, /) -> None: ...
    def query_revert_status(self, volume: str, /) -> dict[str, object]: ...
    def root_and_logical_prefix_paths(
        self, path: str, normalize_fqdn: bool, /
    ) -> dict[str, object]: ...
    def set_selected_for_restore(self, component: dict[str, object], selected: bool, /) -> None: ...
    def set_restore_options(self, component: dict[str, object], options: str, /) -> None: ...
    def set_additional_restores(self, component: dict[str, object], more: bool, /) -> None: ...
    def set_authoritative_restore(
        self, component: dict[str, object], authoritative: bool, /
    ) -> None: ...
    def set_roll_forward(self, component: dict[str, object], kind: int, point: str, /) -> None: ...
    def set_restore_name(self, component: dict[str, object], name: str, /) -> None: ...
    def add_restore_subcomponent(
        self, component: dict[str, object], part: dict[str, object], /
    ) -> None: ...
    def add_new_target(
        self, component: dict[str, object], target: dict[str, object], /
    ) -> None: ...
    def set_ranges_file_path(
        self, component: dict[str, object], partial_file: int, path: str, /
    ) -> None: ...
    def pre_restore(self) -> dict[str, object]: ...
    def add_alternative_location_mapping(
        self, component: dict[str, object], mapping: dict[str, object], /
    ) -> None: ...
    def set_file_restore_status(self, component: dict[str, object], status: int, /) -> None: ...
    def post_restore(self) -> dict[str, object]: ...
    def add_snapshot_to_recovery_set(self, snapshot: str, destination: str, /) -> None: ...
    def recover_set(self, flags: int, /) -> dict[str, object]: ...

class VssWriterCall:
    def facts(self) -> dict[str, object]: ...
    def components(self) -> dict[str, object]: ...
    def is_path_affected(self, path: str, /) -> bool: ...
    def abandoned(self) -> bool: ...
    def set_backup_metadata(self, path: str, name: str, value: str, /) -> None: ...
    def set_restore_metadata(self, path: str, name: str, value: str, /) -> None: ...
    def set_backup_stamp(self, path: str, name: str, value: str, /) -> None: ...
    def add_partial_file(self, path: str, name: str, value: dict[str, object], /) -> None: ...
    def add_differenced_file(self, path: str, name: str, value: dict[str, object], /) -> None: ...
    def set_restore_target(self, path: str, name: str, value: int, /) -> None: ...
    def add_directed_target(self, path: str, name: str, value: dict[str, object], /) -> None: ...
    def set_pre_restore_failure(self, path: str, name: str, value: str, /) -> None: ...
    def set_post_restore_failure(self, path: str, name: str, value: str, /) -> None: ...
    def set_component_failure(self, path: str, name: str, value: dict[str, object], /) -> None: ...

class VssCoordinator:
    def __init__(
        self,
        machine: str,
        limits: dict[str, int],
        slot: str | None,
        engine: Engine | None = None,
        paths: list[tuple[str, str]] = ...,
    ) -> None: ...
    def register_writer(
        self,
        options: dict[str, object],
        writer: object,
        answer: Callable[[Any, str, VssWriterCall], object],
    ) -> str: ...
    def unregister_writer(self, instance: str, /) -> None: ...
    def register_provider(
        self,
        facts: dict[str, object],
        provider: object,
        answer: Callable[[Any, str, tuple[object, ...]], tuple[int, str, object]],
    ) -> None: ...
    def unregister_provider(self, provider: str, /) -> None: ...
    def new_session(self) -> VssSession: ...
    def callbacks(self) -> list[tuple[str, str, bool, str, int]]:
        """Name, id, whether a writer, event, nanoseconds of the coordinator's clock."""
    def troubles(self) -> list[str]: ...
    def close(self) -> None:
        """Abort what is open. May be repeated."""

def vss_parse_writer_metadata(xml: str | bytes) -> dict[str, object]: ...
def vss_parse_backup_document(xml: str | bytes) -> dict[str, object]: ...
def vss_serialise_writer_metadata(document: dict[str, object]) -> str: ...
def vss_serialise_backup_document(document: dict[str, object]) -> str: ...
def vss_hresults() -> dict[int, tuple[str, int, str, str, str]]:
    """HRESULT to name, retry, meaning, advice and code, as the engine has them."""

def vss_enumerations() -> dict[str, dict[str, int]]:
    """Enumeration to its words and values."""

def vss_backup(
    coordinator: VssCoordinator,
    request: dict[str, object],
    between: Callable[[Any], object] | None,
    stopped: Callable[[], bool] | None,
) -> tuple[Exception | None, dict[str, object]]:
    """The error or None, and the report as far as it came."""

def vss_restore(
    coordinator: VssCoordinator,
    request: dict[str, object],
    put_back: Callable[[Any], object] | None,
    stopped: Callable[[], bool] | None,
) -> tuple[Exception | None, dict[str, object]]:
    """The error or None, and the report as far as it came."""

def vss_list_writers(
    coordinator: VssCoordinator, limits: dict[str, int]
) -> list[dict[str, object]]: ...
def vss_import_set(
    coordinator: VssCoordinator,
    document: str,
    limits: dict[str, int],
    use: Callable[[Any], object] | None,
) -> dict[str, object]: ...
def vss_revert(
    coordinator: VssCoordinator, snapshot: str, force: bool, limits: dict[str, int]
) -> None: ...
def vss_resync(
    coordinator: VssCoordinator,
    document: str,
    pairs: list[dict[str, object]],
    flags: int,
    limits: dict[str, int],
    writers: bool = False,
) -> None: ...
