"""The JSON shapes of the interface: what is named there is there, under that name."""

from exshadow.model import (
    ChangedMember,
    JobRecord,
    Member,
    PlexRecord,
    SetRecord,
    Verification,
    VolumeRecord,
)

VOLUME_KEYS = {"name", "uuid", "group", "size", "region_size", "plexes", "snapshots"}
PLEX_KEYS = {"label", "path", "state", "size"}
SET_KEYS = {
    "id",
    "label",
    "group",
    "created",
    "provider",
    "consistency",
    "state",
    "members",
    "verified",
    "pinned_until",
    "hold_us",
}
JOB_KEYS = {"kind", "bytes_copied", "bytes_zeroed", "bytes_total", "seconds", "state"}


def test_volume_shape():
    plex = PlexRecord("p1", "/p", "in_sync", 512)
    shape = VolumeRecord("v", "u", "g", 512, 4096, "ok", True, 1, (plex,), ()).to_json()
    assert set(shape) >= VOLUME_KEYS
    assert set(shape["plexes"][0]) >= PLEX_KEYS


def test_set_shape():
    verdict = Verification("bytes", True, "2026-01-01T00:00:00Z", "")
    one = SetRecord(
        "i",
        "l",
        "g",
        "2026-01-01T00:00:00Z",
        "native",
        "crash",
        "ready",
        (Member("v", "p", "/p", 512),),
        verdict,
    )
    shape = one.to_json()
    assert set(shape) >= SET_KEYS
    assert shape["members"] == [{"volume": "v", "plex": "p", "path": "/p", "size": 512}]
    assert set(shape["verified"]) == {"check", "ok", "at", "detail", "seconds"}
    assert shape["hold_us"] == 0
    assert shape["pinned_until"] is None


def test_diff_shape():
    shape = ChangedMember("v", 65536, ((0, 10), (20, 5))).to_json()
    assert shape == {
        "volume": "v",
        "region_size": 65536,
        "changed": [[0, 10], [20, 5]],
        "bytes": 15,
    }


def test_job_shape_and_sum():
    done = JobRecord("resync", 10, 1, 20, 2.0, "done")
    failed = JobRecord("resync", 5, 0, 10, 3.0, "failed")
    assert set(done.to_json()) >= JOB_KEYS
    both = JobRecord.total([done, failed], "resync")
    assert (both.bytes_copied, both.bytes_zeroed, both.bytes_total) == (15, 1, 30)
    assert (both.seconds, both.state) == (3.0, "failed")
    assert JobRecord.total([], "resync").state == "done"
