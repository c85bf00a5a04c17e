"""The control API: shapes, statuses, events, metrics, and exshadow.connect."""

import gc
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import MIB
from daemons import ServedCli, served
from prometheus_client.parser import text_string_to_metric_families

import exshadow

SIZE = 4 * MIB


@pytest.fixture
def cli(state, fork_server):
    return ServedCli(state, fork_server)


@pytest.fixture
def daemon(cli, tmp_path):
    with served(cli, tmp_path) as running:
        yield running


@pytest.fixture
def http(daemon):
    with daemon.http() as client:
        yield client


@pytest.fixture
def db(http, image, tmp_path):
    """Volume db with a mirror m2; the client."""
    body = {"name": "db", "path": str(image("db.img", SIZE))}
    assert http.post("/v1/volumes", json=body).status_code == 201
    end(
        http,
        http.post("/v1/volumes/db/plexes", json={"path": str(tmp_path / "m2.img"), "label": "m2"}),
    )
    return http


def end(http, answer):
    """Follow the job that was started: its last event."""
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    kind = ""
    with http.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            name, _, value = line.partition(": ")
            kind = value if name == "event" else kind
            if name == "data" and kind == "end":
                return json.loads(value)
    raise AssertionError("no end")


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["code"] == code
    assert error["message"]
    return error


def test_volumes_have_the_interfaces_shape(db):
    (volume,) = db.get("/v1/volumes").json()["volumes"]
    assert {"name", "uuid", "group", "size", "region_size", "plexes", "snapshots"} <= set(volume)
    assert db.get("/v1/volumes/db").json()["volume"]["size"] == SIZE
    plexes = db.get("/v1/volumes/db/plexes").json()["plexes"]
    assert [(one["label"], one["state"]) for one in plexes] == [
        ("p1", "in_sync"),
        ("m2", "in_sync"),
    ]
    assert db.get("/v1/groups").json() == {"groups": [{"name": "db", "volumes": ["db"]}]}


def test_the_life_of_a_set(db):
    made = db.post("/v1/groups/db/sets", json={"label": "noon"})
    assert made.status_code == 201
    one = made.json()["set"]
    assert one["state"] == "ready"
    for name in (one["id"], "noon", "db@noon"):
        assert db.get(f"/v1/sets/{name}").json()["set"]["id"] == one["id"]
    assert len(db.get("/v1/groups/db/sets").json()["sets"]) == 1
    verified = end(db, db.post("/v1/sets/noon/verify", json={}))
    assert verified["result"]["set"]["verified"]["ok"] is True
    pinned = db.post("/v1/sets/noon/pin", json={"until": "forever"}).json()["set"]
    assert pinned["pinned_until"] == "forever"
    refused(db.delete("/v1/sets/noon"), 409, "refused")
    db.post("/v1/sets/noon/pin", json={"until": None, "reason": "test"})
    plan = db.post("/v1/sets/noon/resync", json={}, params={"dry_run": True}).json()["plan"]
    assert plan["steps"]
    assert end(db, db.post("/v1/sets/noon/resync", json={}))["job"]["state"] == "done"
    assert db.get("/v1/sets").json()["sets"] == []
    assert len(db.get("/v1/sets", params={"everything": True}).json()["sets"]) == 1


def test_failures_have_one_shape_and_a_fitting_status(db, tmp_path):
    refused(db.get("/v1/volumes/nobody"), 404, "not_found")
    refused(db.get("/v1/sets/nobody"), 404, "not_found")
    refused(db.get("/v1/jobs/nobody"), 404, "not_found")
    refused(db.get("/nothing"), 404, "not_found")
    refused(db.put("/v1/volumes"), 405, "invalid")
    refused(db.post("/v1/volumes", json={"name": "x"}), 400, "invalid")
    refused(db.post("/v1/volumes", json={"name": "x", "path": "/x", "typo": 1}), 400, "invalid")
    refused(db.post("/v1/volumes", json={"name": "x/y", "path": "/x"}), 400, "invalid")
    refused(db.post("/v1/volumes", json={"name": "x", "path": "here.img"}), 400, "invalid")
    refused(db.post("/v1/volumes", content=b"{"), 400, "invalid")
    taken = {"name": "other", "path": str(tmp_path / "db.img")}
    refused(db.post("/v1/volumes", json=taken), 423, "busy")
    refused(db.delete("/v1/volumes/db/plexes/p9"), 404, "not_found")
    refused(db.get("/v1/volumes/db/data", params={"offset": -1, "length": 1}), 400, "invalid")
    refused(db.get("/v1/volumes/db/data", params={"offset": SIZE, "length": 1}), 400, "invalid")
    failed = end(db, db.post("/v1/volumes/db/plexes", json={"path": "/no/such/m3.img"}))
    assert failed["error"]["code"] == "not_found"
    assert failed["job"]["state"] == "failed"


def test_a_body_without_end_is_not_read_to_its_end(db):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 64 * MIB:
            sent += 65536
            yield b" " * 65536

    refused(db.post("/v1/volumes", content=b" " * (MIB + 1)), 413, "invalid")
    with suppress(httpx.WriteError):  # it may hang up on us while we write
        refused(db.post("/v1/volumes", content=endless()), 413, "invalid")
    assert sent < 16 * MIB
    exact = json.dumps({"name": "x/y", "path": "/x"}).encode().ljust(MIB)
    refused(db.post("/v1/volumes", content=exact), 400, "invalid")
    data = {"offset": 0}
    assert db.put("/v1/volumes/db/data", params=data, content=bytes(2 * MIB)).status_code == 204


def test_no_text_holds_nul(db, tmp_path):
    for path, body in [
        ("/v1/volumes", {"name": "x", "path": "/x\0y"}),
        ("/v1/volumes", {"name": "x\0", "path": "/x"}),
        ("/v1/volumes", {"name": "x", "path": "/x", "group": "g\0"}),
        ("/v1/volumes/db/plexes", {"path": "/x\0y"}),
        ("/v1/volumes/db/plexes", {"path": "/x", "label": "a\0"}),
        ("/v1/groups/db/sets", {"label": "a\0"}),
        ("/v1/split", {"volumes": ["db"], "label": "noon", "plexes": {"db": "a\0"}}),
        ("/v1/split", {"volumes": ["db\0"], "label": "noon"}),
        ("/v1/restore", {"snapshots": {"db\0": "noon"}}),
    ]:
        refused(db.post(path, json=body), 400, "invalid")
    for path in ("/v1/volumes/a%00", "/v1/sets/a%00", "/v1/volumes/db/snapshots/a%00/data"):
        assert db.get(path).status_code in (400, 404)


def test_a_job_is_cancelled_resumably(db, tmp_path):
    body = {"path": str(tmp_path / "m3.img"), "label": "m3", "limit": MIB}
    answer = db.post("/v1/volumes/db/plexes", json=body)
    job = answer.json()["job"]
    assert any(one["id"] == job["id"] for one in db.get("/v1/jobs").json()["jobs"])
    assert db.delete(f"/v1/jobs/{job['id']}").status_code == 202
    ended = end(db, answer)
    assert ended["job"]["state"] == "cancelled"
    assert "mirror sync db" in ended["error"]["hint"]
    assert end(db, db.post("/v1/volumes/db/sync", json={}))["job"]["state"] == "done"
    assert db.get(f"/v1/jobs/{job['id']}").json()["job"]["state"] == "cancelled"


def test_the_description_covers_the_interface(http):
    document = http.get("/openapi.json").json()
    for path in (
        "/v1/volumes",
        "/v1/volumes/{name}/plexes",
        "/v1/groups/{group}/sets",
        "/v1/sets/{id}",
        "/v1/sets/{id}/resync",
        "/v1/sets/{id}/restore",
        "/v1/sets/{id}/promote",
        "/v1/sets/{id}/verify",
        "/v1/jobs/{id}",
        "/v1/jobs/{id}/events",
        "/metrics",
    ):
        assert path in document["paths"], path
    assert "Failure" in document["components"]["schemas"]


def samples(http):
    """{(name, label, value, ...): number} of all samples."""
    text = http.get("/metrics").text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics(db, daemon):
    db.post("/v1/groups/db/sets", json={"label": "noon"})
    end(db, db.post("/v1/sets/noon/verify", json={}))
    subprocess.run(
        ["qemu-io", "-f", "raw", "-c", "write 0 64k", f"nbd+unix:///db?socket={daemon.nbd}"],
        check=True,
        capture_output=True,
    )
    found = samples(db)
    state = "exshadow_plex_state"
    assert found[state, ("plex", "m2"), ("state", "split"), ("volume", "db")] == 1
    assert found[state, ("plex", "m2"), ("state", "in_sync"), ("volume", "db")] == 0
    assert found["exshadow_plex_resync_bytes", ("plex", "m2"), ("volume", "db")] == 0
    assert found["exshadow_last_set_verified", ("group", "db")] == 1
    assert 0 <= found["exshadow_last_set_age_seconds", ("group", "db")] < 120
    assert found["exshadow_split_duration_seconds_count", ("group", "db")] == 1
    done = ("kind", "sync"), ("state", "done")
    assert found["exshadow_job_duration_seconds_count", *done] == 1
    assert found["exshadow_nbd_bytes_total", ("direction", "write"), ("export", "db")] == 65536
    assert found["exshadow_nbd_errors_total", ("export", "db")] == 0
    assert any(name[0] == "exshadow_build_info" for name in found)


def test_the_example_frontend_works(daemon, image, tmp_path):
    script = Path(__file__).with_name("example_frontend.py")
    path, mirror = image("shop.img", SIZE), tmp_path / "mirror.img"
    done = subprocess.run(
        [sys.executable, script, daemon.cli.state / "control.sock", path, mirror],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["mirrored"]["state"] == seen["restored"]["state"] == "done"
    assert seen["same"] is True
    assert seen["changed"][0]["changed"] == [[0, 65536]]
    assert mirror.stat().st_size == SIZE


# --- exshadow.connect ---


@pytest.fixture
def served_db(db, cli):
    with exshadow.connect(cli.state) as engine:
        yield engine.open("db")


def test_connect_reads_and_writes(served_db, tmp_path):
    data = np.arange(5000, dtype=np.uint8)
    served_db.write(1000, data)
    served_db.flush()
    assert served_db.read(1000, 5000) == data.tobytes()
    into = bytearray(5000)
    served_db.read_into(1000, into)
    assert into == data.tobytes()
    served_db.zero(1000, 5000)
    assert served_db.read(1000, 5000) == bytes(5000)
    assert served_db.read(0, 0) == b""
    with pytest.raises(exshadow.InvalidError):
        served_db.write(0, data[::2])
    with pytest.raises(exshadow.InvalidError):
        served_db.read(-1, 1)
    with pytest.raises(ValueError, match="volume"):
        served_db.write(SIZE - 1, b"too long")


def test_connect_has_the_engines_calls(cli, db, image, tmp_path):
    with exshadow.connect(cli.state) as engine:
        logs = engine.create("logs.exv", plex=image("logs.img"), group="db")
        job = logs.add_plex(tmp_path / "l2.img", label="m2")
        assert job.wait(60)["state"] == "done"
        assert job.done
        volumes = [engine.volumes["db"], logs]
        noon = engine.split(volumes, label="noon")
        assert noon["db"].set_id == noon["logs"].set_id
        logs.write(70_000, b"later")
        assert noon["logs"].changed().tolist() == [[65536, 65536]]
        assert noon["logs"].changed().dtype == np.int64
        assert noon["db"].changed().shape == (0, 2)
        assert noon["logs"].read(70_000, 5) != b"later"
        logs.pin_snapshot("noon", "forever")
        assert noon["logs"].info()["pinned_until"] == "forever"
        logs.pin_snapshot("noon", None)
        assert logs.verify_snapshot("noon").wait(60)["state"] == "done"
        assert logs.restore(noon["logs"]).wait(60)["state"] == "done"
        assert logs.read(70_000, 5) == noon["logs"].read(70_000, 5)
        for name in noon:
            engine.volumes[name].resync("noon").wait(60)
        assert logs.verify().differences().shape == (0, 2)
        assert {plex["state"] for plex in logs.plexes} == {"in_sync"}
        logs.remove_plex("m2")
        assert len(logs.info()["plexes"]) == 1


def test_connect_restores_several_volumes_at_one_instant(cli, db, image, tmp_path):
    with exshadow.connect(cli.state) as engine:
        logs = engine.create("logs", plex=image("logs.img"), group="db")
        logs.add_plex(tmp_path / "l2.img", label="m2").wait(60)
        volumes = [engine.open("db"), logs]
        before = {volume.name: volume.read(0, MIB) for volume in volumes}
        noon = engine.split(volumes, label="noon")
        for volume in volumes:
            volume.write(0, bytes(MIB))
        jobs = engine.restore(volumes, noon, limit=2 * MIB)
        assert {volume.name: volume.read(0, MIB) for volume in volumes} == before
        assert {job.wait(60)["state"] for job in jobs.values()} == {"done"}
        with pytest.raises(exshadow.InvalidError):
            engine.restore(volumes, {"db": "noon"})


def test_connect_raises_what_the_engine_would(cli, db, tmp_path):
    with exshadow.connect(cli.state) as engine:
        with pytest.raises(exshadow.NotFoundError):
            engine.open("nobody")
        with pytest.raises(LookupError):
            engine.open("db").snapshots["x"]
        job = engine.open("db").add_plex(tmp_path / "m3.img", limit=MIB)
        with pytest.raises(TimeoutError):
            job.wait(0.05)
        job.cancel()
        with pytest.raises(exshadow.CancelledError) as caught:
            job.wait(60)
        assert "mirror sync" in caught.value.hint
    with pytest.raises(exshadow.ClosedError):
        engine.open("db")
    with pytest.raises(exshadow.NotFoundError) as missing:
        exshadow.connect(tmp_path)
    assert "exshadow serve" in missing.value.hint


def test_connect_is_thread_safe(served_db):
    failures = []

    def work(number):
        try:
            for round_ in range(10):
                text = f"{number}-{round_}".encode().ljust(512)
                served_db.write(number * 512, text)
                assert served_db.read(number * 512, 512) == text
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# httpcore leaves a socket to the garbage collector when a connect fails.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
def test_a_daemon_that_goes_away_is_an_error_of_ours(cli, db, daemon):
    with exshadow.connect(cli.state) as engine:
        opened = engine.open("db")
        daemon.stop()
        with pytest.raises(exshadow.Error):
            opened.read(0, 512)
    gc.collect()


WRONG = {
    "read": lambda e, v: v.read(1.0, 1),
    "read length": lambda e, v: v.read(0, "1"),
    "read_into": lambda e, v: v.read_into("0", bytearray(1)),
    "write": lambda e, v: v.write(0, "text"),
    "write offset": lambda e, v: v.write("0", b""),
    "fua": lambda e, v: v.write(0, b"", fua="yes"),
    "zero": lambda e, v: v.zero(0, 512, unmap="yes"),
    "add_plex": lambda e, v: v.add_plex(5),
    "add_plex label": lambda e, v: v.add_plex("/no/such/file", label=5),
    "overwrite": lambda e, v: v.add_plex("/no/such/file", overwrite="yes"),
    "sync": lambda e, v: v.sync(5),
    "limit": lambda e, v: v.sync(limit="1M"),
    "remove_plex": lambda e, v: v.remove_plex(5),
    "verify": lambda e, v: v.verify(source=5),
    "restore": lambda e, v: v.restore(5),
    "promote": lambda e, v: v.promote(None),
    "pin": lambda e, v: v.pin_snapshot("noon", 5),
    "consistency": lambda e, v: v.set_consistency("noon", 5),
    "split": lambda e, v: e.split("db", "noon"),
    "split label": lambda e, v: e.split([v], 5),
    "split plexes": lambda e, v: e.split([v], "noon", plexes={"db": 5}),
    "engine restore": lambda e, v: e.restore([v], {v.name: 5}),
    "engine restore volumes": lambda e, v: e.restore(["db"], "noon"),
    "open": lambda e, v: e.open(5),
    "create": lambda e, v: e.create("other", plex=5),
    "region_size": lambda e, v: e.create("other", plex="/no/such", region_size="64K"),
}


def test_arguments_of_wrong_types_raise_alike_here_and_there(db, state, make, engine):
    here = make(engine, "here", mirror=False)
    with exshadow.connect(state) as there:
        for name, call in WRONG.items():
            for opened, volume in ((engine, here), (there, there.open("db"))):
                with pytest.raises(TypeError):
                    pytest.fail(f"{name}: {call(opened, volume)}")


def test_unknown_snapshots_and_paths_alike_here_and_there(db, state, tmp_path):
    with exshadow.Engine() as engine, exshadow.connect(state) as there:
        here = engine.create(tmp_path / "here.exv", plex=_image(tmp_path / "here.img"))
        assert here.path == str(tmp_path / "here.exv")
        assert there.open("db").path == str(state / "db.exv")
        for volume in (here, there.open("db")):
            job = volume.restore("nosuch")
            with pytest.raises(exshadow.NotFoundError):
                job.wait()
            job = volume.verify_snapshot("nosuch")
            with pytest.raises(exshadow.NotFoundError):
                job.wait()
            for call in (
                lambda v=volume: v.restore("nosuch", mode="instant"),
                lambda v=volume: v.resync("nosuch"),
                lambda v=volume: v.promote("nosuch"),
            ):
                with pytest.raises(exshadow.NotFoundError):
                    call()


def _image(path):
    path.write_bytes(bytes(SIZE))
    return path


def armed(http, **more):
    body = {"label": "noon", "seconds": 30, "pid": os.getpid(), **more}
    return http.post("/v1/groups/db/arm", json=body)


def order(**more):
    return {"set_id": str(uuid.uuid4()), "until": time.monotonic() + 10, **more}


def test_an_armed_group_is_split_in_time_or_not_at_all(db):
    """What takes long, and other changes, come before: only the split lies in the writers' way."""
    arm = armed(db).json()["arm"]
    wish = order(consistency="crash")
    made = db.post(f"/v1/arms/{arm}", json=wish)
    assert made.status_code == 201
    assert made.json()["set"]["id"] == wish["set_id"]
    refused(db.post(f"/v1/arms/{arm}", json=order()), 404, "not_found")
    refused(armed(db), 409, "exists")  # the label, before anybody is frozen


def test_a_split_that_comes_too_late_for_the_writers_is_refused(db):
    arm = armed(db).json()["arm"]
    late = order(until=time.monotonic() - 0.001)
    refused(db.post(f"/v1/arms/{arm}", json=late), 504, "timed_out")
    assert db.get("/v1/sets").json()["sets"] == []
    assert armed(db).status_code == 201  # nothing is held any more


def test_an_armed_group_keeps_other_changes_out_until_it_is_called_off_or_its_time_is_over(db):
    arm = armed(db, seconds=60).json()["arm"]
    done = threading.Event()

    def other():
        assert db.post("/v1/groups/db/sets", json={"label": "other"}).status_code == 201
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert not done.wait(0.5)
    assert db.delete(f"/v1/arms/{arm}").status_code == 204
    thread.join(20)
    assert done.is_set()
    db.post("/v1/sets/other/resync", json={})
    arm = armed(db, seconds=0.3).json()["arm"]
    assert armed(db, seconds=0.3).status_code == 201  # waits for the end of the first
    refused(db.post(f"/v1/arms/{arm}", json=order()), 404, "not_found")


def test_a_client_that_is_gone_holds_nothing(db):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as client:
        armed(db, seconds=600, pid=client.pid)
        client.kill()
    begin = time.monotonic()
    assert armed(db).status_code == 201
    assert time.monotonic() - begin < 20


def test_a_set_says_what_it_is(db):
    db.post("/v1/groups/db/sets", json={"label": "noon"})
    url = "/v1/sets/noon/consistency"
    assert db.post(url, json={"consistency": "filesystem"}).json()["set"]["consistency"] == (
        "filesystem"
    )
    assert db.get("/v1/sets/noon").json()["set"]["consistency"] == "filesystem"
    refused(db.post(url, json={"consistency": "perfect"}), 400, "invalid")
