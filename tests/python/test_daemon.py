"""exshadow serve: its life from start to clean end, and who may speak to it."""

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import time
from contextlib import contextmanager

import pytest
from conftest import MIB, Cli
from daemons import DaemonProcess, served
from machine import mounted, run, sparse

import exshadow


@pytest.fixture
def volume(cli, image):
    """A volume db that nobody serves yet."""
    cli("volume", "add", "db", image("db.img", 16 * MIB))
    return cli


def test_a_daemon_lives_and_ends_clean(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        status = json.loads(daemon.out.read_text())["serving"]
        assert status["volumes"] == ["db"]
        assert status["pid"] == daemon.pid
        for name in ("control.sock", "nbd.sock"):
            mode = (volume.state / name).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
        shown = volume.json("volume", "show", "db")["volume"]
        assert str(daemon.pid) in shown["owner"]
        assert daemon.stop(signal.SIGTERM) == 0
    for name in ("control.sock", "nbd.sock"):
        assert not (volume.state / name).exists()
    assert volume.json("volume", "show", "db")["volume"]["clean"] is True


def test_ctrl_c_ends_it_clean_as_well(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        assert daemon.stop(signal.SIGINT) == 0
    assert volume.json("volume", "show", "db")["volume"]["clean"] is True


def test_a_second_daemon_is_refused_naming_the_first(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        error = volume.error(8, "serve")
        assert error["code"] == "busy"
        assert f"pid {daemon.pid}" in error["message"]


def test_what_a_daemon_holds_is_locked_for_others(volume, tmp_path):
    with served(volume, tmp_path) as daemon, exshadow.Engine() as engine:
        with pytest.raises(exshadow.BusyError):
            engine.open(volume.state / "db.exv")
        assert volume.json("volume", "list")["volumes"][0]["owner"].startswith(f"pid {daemon.pid}")


def test_a_killed_daemon_leaves_sockets_that_hinder_nobody(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        daemon.stop(signal.SIGKILL)
    assert (volume.state / "control.sock").exists()
    assert volume.json("volume", "list")["volumes"]  # the command line does it itself
    volume("mirror", "add", "db", tmp_path / "m2.img")
    with served(volume, tmp_path):
        assert len(volume.json("mirror", "list", "db")["plexes"]) == 2


@pytest.mark.parametrize("address", ["0.0.0.0:10809", "192.0.2.1:10809", ":10809", "[::]:1"])
def test_nbd_leaves_this_machine_on_no_account(volume, address):
    error = volume.error(4, "serve", "--tcp", address)
    assert "TLS" in error["message"]


def test_bad_addresses_and_groups(volume):
    volume.error(2, "serve", "--tcp", "127.0.0.1")
    volume.error(2, "serve", "--tcp", "127.0.0.1:x")
    volume.error(3, "serve", "nobody")
    assert not (volume.state / "control.sock").exists()


def test_loopback_tcp_serves(volume, tmp_path):
    with served(volume, tmp_path, "--tcp", "127.0.0.1:0") as daemon:
        (address,) = [
            one for one in json.loads(daemon.out.read_text())["serving"]["nbd"] if ":" in one
        ]
        subprocess.run(["nbdinfo", f"nbd://{address}/db"], check=True, capture_output=True)


def test_only_the_named_groups_are_held(volume, image, tmp_path):
    volume("volume", "add", "other", image("other.img"), "--group", "elsewhere")
    with served(volume, tmp_path, "db"):
        with exshadow.connect(volume.state) as daemon:
            assert daemon._line.get("/v1/status")["status"]["volumes"] == ["db"]
            with pytest.raises(exshadow.RefusedError):
                daemon.open("other").read(0, 1)
        volume("mirror", "add", "other", tmp_path / "o2.img")  # opened for the command only
        with exshadow.Engine() as engine:
            engine.open(volume.state / "other.exv")


def test_what_cannot_be_opened_does_not_keep_others_from_being_served(volume, image, tmp_path):
    path = image("broken.img")
    volume("volume", "add", "broken", path)
    path.unlink()
    with served(volume, tmp_path) as daemon:
        assert json.loads(daemon.out.read_text())["serving"]["volumes"] == ["db"]
        assert "volume broken is not served" in daemon.err.read_text()
    volume.error(3, "serve", "broken")


def test_sigterm_pauses_a_sync_and_the_next_daemon_continues_it(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        add = ("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2", "--limit", "4M")
        command = volume.start("--json", *add)
        for line in command.stderr:
            if json.loads(line).get("progress", {}).get("bytes_copied", 0) > 0:
                break
        assert daemon.stop() == 0
        out, _ = command.communicate(timeout=60)
        assert command.returncode == 130
        assert "exshadow mirror sync db m2" in json.loads(out)["error"]["hint"]
    plex = volume.json("mirror", "list", "db")["plexes"][1]
    assert 0 < plex["bytes_to_sync"] < 16 * MIB
    with served(volume, tmp_path) as daemon:
        wait_for(lambda: volume.json("mirror", "list", "db")["plexes"][1]["state"] == "in_sync")
        assert "continued: sync of db" in daemon.err.read_text()
    assert (tmp_path / "m2.img").read_bytes() == (tmp_path / "db.img").read_bytes()


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_removed_volume_is_let_go_and_a_used_one_refused(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        pipe = subprocess.Popen(
            ["qemu-io", "-f", "raw", f"nbd+unix:///db?socket={daemon.nbd}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        wait_for(lambda: connections(daemon))
        assert volume.error(8, "volume", "remove", "db")["code"] == "busy"
        pipe.communicate(b"quit\n", timeout=30)
        wait_for(lambda: not connections(daemon))
        volume("volume", "remove", "db")
        assert volume.json("volume", "list")["volumes"] == []
        volume("volume", "add", "again", tmp_path / "db.img")


def connections(daemon):
    with daemon.http() as http:
        return http.get("/v1/connections").json()["connections"]


def test_restore_is_refused_while_a_client_may_write(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        volume("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
        volume("snapshot", "create", "db", "--label", "noon")
        with subprocess.Popen(
            ["qemu-io", "-f", "raw", f"nbd+unix:///db?socket={daemon.nbd}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as client:
            wait_for(lambda: connections(daemon))
            refused = volume.error(8, "restore", "noon")
            assert "--live" in refused["hint"]
            planned = [
                volume.json("restore", "noon", "--dry-run", *more)["plan"]["refused"]
                for more in ((), ("--live",))
            ]
            assert planned == [refused, None]
            assert "--live" in volume.error(8, "snapshot", "promote", "noon")["hint"]
            with exshadow.connect(volume.state) as engine, pytest.raises(exshadow.BusyError):
                engine.open("db").promote("noon")
            volume("restore", "noon", "--live")
            client.communicate(b"quit\n", timeout=30)
        wait_for(lambda: not connections(daemon))
        volume("restore", "noon")
        with subprocess.Popen(
            ["qemu-io", "-f", "raw", f"nbd+unix:///db?socket={daemon.nbd}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as client:
            wait_for(lambda: connections(daemon))
            volume("snapshot", "promote", "noon", "--live")
            client.communicate(b"quit\n", timeout=30)


def test_an_instant_restore_answers_at_once_and_moves_behind(volume, tmp_path):
    volume("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    volume("snapshot", "create", "db", "--label", "noon")
    good = (tmp_path / "m2.img").read_bytes()
    restore = ("restore", "noon", "--mode", "instant", "--limit", "4M")
    with served(volume, tmp_path) as daemon:
        volume_write(volume, os.urandom(16 * MIB))
        job = volume.json(*restore)["job"]
        assert job["state"] == "running"
        assert job["bytes_total"] == 16 * MIB
        assert "to move      " in (shown := volume("volume", "show", "db").out)
        assert "from db@noon" in shown
        with exshadow.connect(volume.state) as engine:
            assert engine.open("db").read(0, 16 * MIB) == good
        shown = volume.json("volume", "show", "db")["volume"]
        assert shown["state"] == "moving"
        assert 0 < shown["bytes_to_move"] < 16 * MIB
        assert daemon.stop() == 0
    assert volume.json("volume", "show", "db")["volume"]["state"] == "moving"
    with served(volume, tmp_path) as daemon:
        wait_for(lambda: volume.json("volume", "show", "db")["volume"]["state"] == "ok")
        assert "continued: sync of db" in daemon.err.read_text()
    assert (tmp_path / "db.img").read_bytes() == good == (tmp_path / "m2.img").read_bytes()


def test_another_user_is_refused(volume, tmp_path):
    """Even when somebody opened the socket's mode to all."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with served(volume, tmp_path):
        path = volume.state / "control.sock"
        path.chmod(0o666)
        for folder in (volume.state, tmp_path, *tmp_path.parents):
            passable = stat.S_IMODE(folder.stat().st_mode) | stat.S_IXGRP | stat.S_IXOTH
            if passable != stat.S_IMODE(folder.stat().st_mode):
                folder.chmod(passable)
        code = (
            "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
            "s.connect(sys.argv[1]); s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');"
            "print(s.makefile().read())"
        )
        done = subprocess.run(
            ["python3", "-c", code, path], capture_output=True, text=True, check=False
        )
        assert "403 Forbidden" in done.stdout, done.stderr
        assert "permission" in done.stdout


def test_systemd_hears_ready_stopping_and_the_watchdog(volume, tmp_path, fork_server):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        told = Cli(volume.state, fork_server)
        told.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        daemon = DaemonProcess(told, tmp_path)
        assert b"READY=1" in line.recv(1000)
        assert line.recv(1000) == b"WATCHDOG=1"
        daemon.close()
        while b"STOPPING=1" not in line.recv(1000):
            pass


def test_a_failed_plex_is_said_recorded_and_counted(volume, tmp_path):
    """A plex that errs leaves the mirror while clients go on; everybody can see it."""
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "db.img").write_bytes(bytes(16 * MIB))
    volume("mirror", "sync", "db", "--force")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=17m", "none", small], check=False)
    if done.returncode != 0:
        pytest.skip("cannot mount a small tmpfs")
    try:
        with served(volume, tmp_path) as daemon:
            volume("mirror", "add", "db", small / "m2.img", "--label", "m2")
            (small / "filler").write_bytes(bytes(17 * MIB - 65536))
            volume_write(volume, b"w" * (4 * MIB))
            shown = volume.json("volume", "show", "db")["volume"]
            assert shown["plexes"][1]["state"] == "failed"
            assert any("m2" in event for event in shown["events"])
            with daemon.http() as http:
                text = http.get("/metrics").text
                assert 'exshadow_plex_state{plex="m2",state="failed",volume="db"} 1.0' in text
                wait_for(lambda: http.get("/v1/volumes/db/events").json()["events"])
            wait_for(lambda: "m2" in daemon.err.read_text())
            (small / "filler").unlink()
            volume("mirror", "sync", "db")
            assert (small / "m2.img").read_bytes() == (tmp_path / "db.img").read_bytes()
    finally:
        subprocess.run(["umount", small], check=True)


def volume_write(cli, data):
    with exshadow.connect(cli.state) as daemon:
        daemon.open("db").write(0, data)


def test_the_kernel_tells_who_speaks():
    """The struct that SO_PEERCRED fills."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        from exshadow.api.peers import may_speak, peer_uid

        assert peer_uid(ours) == os.geteuid()
    assert may_speak(os.geteuid())
    assert may_speak(0)
    assert not may_speak(os.geteuid() + 1)
    assert struct.calcsize("3i") == 12


def test_a_set_is_read_while_production_moves_back_to_it(volume, tmp_path):
    volume("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    volume("snapshot", "create", "db", "--label", "noon")
    good = (tmp_path / "m2.img").read_bytes()
    with served(volume, tmp_path):
        volume_write(volume, os.urandom(16 * MIB))
        said = volume("restore", "noon", "--mode", "instant", "--limit", "1M")
        assert "16.0 MiB are still to be moved" in said.err
        assert "16.0 MiB" not in said.out  # each thing is told once
        assert "in the background" in said.out
        volume("snapshot", "pin", "noon")
        volume("snapshot", "export", "noon", tmp_path / "out")
        volume("snapshot", "pin", "noon", "--clear", "--reason", "test")
        assert (tmp_path / "out" / "db.img").read_bytes() == good
        # Changed since the restore, so no difference; and the mover goes on.
        volume_write(volume, os.urandom(2 * MIB))
        verdict = volume.json("snapshot", "verify", "noon")["set"]["verified"]
        assert verdict["ok"] is True
        for verb in ("resync", "delete", "promote"):
            assert volume.error(4, "snapshot", verb, "noon", "--yes")["code"] == "refused"
        assert volume.json("volume", "show", "db")["volume"]["state"] == "moving"
    assert volume.json("snapshot", "verify", "noon")["set"]["verified"]["ok"] is True
    assert volume.json("volume", "show", "db")["volume"]["state"] == "moving"


@pytest.mark.parametrize("label", [(), ("m2",)], ids=["any", "m2"])
def test_mirror_sync_waits_for_the_job_that_does_it_already(volume, tmp_path, label):
    with served(volume, tmp_path):
        with volume.start(
            "mirror", "add", "db", tmp_path / "m2.img", "--label", "m2", "--limit", "8M"
        ) as first:
            wait_for(
                lambda: any(
                    one["state"] == "syncing"
                    for one in volume.json("mirror", "list", "db")["plexes"]
                )
            )
            ended = volume("mirror", "sync", "db", *label)
            assert "waiting for it" in ended.err
            assert first.wait(60) == 0
        assert volume.json("mirror", "list", "db")["plexes"][1]["state"] == "in_sync"
    assert (tmp_path / "m2.img").read_bytes() == (tmp_path / "db.img").read_bytes()


def test_mirror_sync_waits_for_a_restore_that_moves(volume, tmp_path):
    volume("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    volume("snapshot", "create", "db", "--label", "noon")
    good = (tmp_path / "m2.img").read_bytes()
    with served(volume, tmp_path):
        volume_write(volume, os.urandom(16 * MIB))
        volume("restore", "noon", "--mode", "instant", "--limit", "2M")
        command = volume.start("mirror", "sync", "db")
        for line in command.stderr:
            if "waiting for it" in line:
                break
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=60)
        assert command.returncode == 130, err
        assert volume.json("volume", "show", "db")["volume"]["state"] == "moving"
        assert volume.json("mirror", "sync", "db")["job"]["kind"] == "restore"
        assert volume.json("volume", "show", "db")["volume"]["state"] == "ok"
    assert (tmp_path / "db.img").read_bytes() == good


def test_views_have_the_size_that_was_asked_for(volume, tmp_path):
    volume.error(2, "serve", "--view-limit", "much")
    volume("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    volume("snapshot", "create", "db", "--label", "noon")
    with served(volume, tmp_path, "--view-limit", "1M") as daemon:
        for size, good in (("512k", True), ("8M", False)):
            address = f"nbd+unix:///db@noon+view?socket={daemon.nbd}"
            command = ["qemu-io", "-f", "raw", "-c", f"write -P 7 0 {size}", address]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert (done.returncode == 0) is good, done


@contextmanager
def frozen(place):
    """The file system there answers no write."""
    run("fsfreeze", "--freeze", place)
    try:
        yield
    finally:
        run("fsfreeze", "--unfreeze", place)


def test_a_plex_that_does_not_answer_is_let_go_after_the_time_that_was_asked_for(volume, tmp_path):
    """Well before the default of 30 seconds."""
    for text in ("much", "0s", "-1s", "500d"):
        volume.error(2, "serve", f"--latency-limit={text}")
    run("mkfs.ext4", "-q", "-F", sparse(tmp_path / "disk.img", 64 * MIB))
    with mounted(tmp_path / "disk.img", tmp_path / "disk", "-o", "loop") as disk:
        volume("mirror", "add", "db", disk / "m2.img", "--label", "m2")
        with (
            served(volume, tmp_path, "--latency-limit", "2s"),
            exshadow.connect(volume.state) as db,
        ):
            opened = db.open("db")
            opened.write(0, b"before")
            with frozen(disk):
                began = time.monotonic()
                opened.write(0, b"meanwhile")
                assert 1.5 < time.monotonic() - began < 15
            (_, plex) = volume.json("mirror", "list", "db")["plexes"]
            assert plex["state"] == "failed"
            assert "latency limit" in plex["note"]
            volume("mirror", "sync", "db")
        volume("mirror", "verify", "db")


def test_the_next_daemon_keeps_to_the_limit(volume, tmp_path):
    add = ("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2", "--limit", "4M")
    with served(volume, tmp_path) as daemon:
        command = volume.start("--json", *add)
        for line in command.stderr:
            if json.loads(line).get("progress", {}).get("bytes_copied", 0) > 0:
                break
        assert daemon.stop() == 0
        command.communicate(timeout=60)
    left = volume.json("mirror", "list", "db")["plexes"][1]["bytes_to_sync"]
    assert left > 4 * MIB
    assert json.loads((volume.state / "limits.json").read_text()) == {"db": 4 * MIB}
    begin = time.monotonic()
    with served(volume, tmp_path):
        volume("mirror", "sync", "db")
        assert time.monotonic() - begin > (left - 2 * MIB) / (4 * MIB)
        assert json.loads((volume.state / "limits.json").read_text()) == {}


def test_stopping_the_daemon_during_a_run_is_told(shop, tmp_path):
    """By whatever the run asks next, without writers or with them."""
    hook = tmp_path / "stop"
    policy = tmp_path / "policy.toml"
    text = (
        '[group.shop]\nvolumes = ["db", "logs"]\nmirrors = ["m2", "m3"]\n'
        f'provider.options.mirror-path = "{tmp_path}/{{volume}}-{{mirror}}.img"\n'
    )
    stops = "while kill -TERM {pid} 2>/dev/null && [ -e {socket} ]; do sleep 0.05; done\n"
    for more in (
        f'hooks.before = [{{ command = "{hook}" }}]\n',
        f'writers = ["script?command={hook}"]\n',
    ):
        daemon = DaemonProcess(shop.cli, tmp_path)
        socket_ = shop.cli.state / "control.sock"
        hook.write_text("#!/bin/sh\n" + stops.format(pid=daemon.pid, socket=socket_))
        hook.chmod(0o700)
        policy.write_text(text + more)
        error = shop.cli.error(8, "policy", "run", policy)
        daemon.ended = True
        assert shop.cli.server.wait(daemon.pid) == 0
        assert "the daemon went away" in error["message"], more
        assert "repeat the command" in error["hint"], more
    policy.write_text(text)
    (found,) = shop.cli.json("policy", "run", policy)["groups"]
    assert found["error"] is None
