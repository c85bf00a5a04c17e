"""What the native part gives of an ESE file: header fields and verdicts, as it fills them in."""

from typing import Literal, TypedDict


class EseBackupMark(TypedDict):
    time: str
    lowest: int  # generations
    highest: int


class EseDatabaseHeader(TypedDict):
    first_good: bool
    second_good: bool
    equal: bool
    format: int
    revision: int
    minor_revision: int
    streaming: bool
    dbtime: int
    state: str  # as eseutil names it
    state_number: int
    page_size: int
    shadow_kept: bool
    has_stm: bool
    temporary: bool
    streaming_image: bool
    lowest_required: int
    highest_required: int
    highest_committed: int
    repair_count: int
    file_type: int
    signature: str
    log_signature: str
    stm_signature: str
    flush_signature: str
    flush_map_signature: str
    previous_full: EseBackupMark | None
    previous_incremental: EseBackupMark | None
    previous_copy: EseBackupMark | None
    previous_differential: EseBackupMark | None
    current_full: EseBackupMark | None


class EseLogHeader(TypedDict):
    generation: int
    sector_size: int
    size: int
    page_size: int
    created: str
    previous_created: str
    version: tuple[int, int, int, int]  # major, minor, update, update minor
    signature: str
    circular: bool
    reserve: bool
    file_type: int
    previous_sum: int | None


class EseLogBody(TypedDict):
    sound: bool
    torn_end: bool
    full: bool
    segments: int
    valid: int
    stale: int
    empty: int
    bad: int
    first_bad: int | None
    correctable: bool
    sum: int
    trouble: str


class EseCheckpoint(TypedDict):
    generation: int
    sector: int
    byte: int
    last_full_backup: int
    log_signature: str
    first_good: bool
    second_good: bool
    equal: bool


class EseFlushMap(TypedDict):
    clean: bool
    version: int
    lowest_required: int
    database_flush_signature: str
    map_flush_signature: str


class EseBadPage(TypedDict):
    page: int
    state: Literal["correctable", "wrong_number", "wrong_place", "bad"]
    block: int
    bit: int
    belongs_at: int
    legacy: bool


class EseTrailer(TypedDict):
    lowest_required: int  # generations
    highest_required: int
    highest_committed: int
    signature: str
    log_signature: str


class EsePageScan(TypedDict):
    pages: int
    bad: int
    correctable: int
    wrong_place: int
    empty: int
    empty_inside: int
    legacy: int
    last_used: int
    highest_dbtime: int
    highest_dbtime_page: int
    odd_bytes: int
    list: list[EseBadPage]
    trailer: EseTrailer | None
