"""restore --roll-forward: the set's databases with today's logs; refusals name their rule."""

import shutil
import signal
import struct

import pytest
from checked import digest, need_devices, no_traces
from daemons import ServedCli, served
from ese_log_maker import LogHeader, log8
from ese_maker import signature
from mail import NOON, NOW, SERVER, SIZE, database, logs, make, make_pair

from exshadow.demo import mail_files
from exshadow.ese.generations import spelled

EDB = "Mailbox/Mailbox.edb"


@pytest.fixture(autouse=True)
def _devices():
    need_devices()
    if shutil.which("mount.ntfs-3g", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("needs ntfs-3g: run scripts/packages.sh")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Both images, filled once."""
    folder = tmp_path_factory.mktemp("made")
    make(folder / "maildb.img", database)
    make(folder / "maillog.img", logs(NOON))
    return folder


@pytest.fixture
def pair(cli, tmp_path):
    pair = make_pair(cli, tmp_path)
    yield pair
    assert no_traces(cli.state) == []


@pytest.fixture
def later(pair):
    """Four logs after the set was made."""
    pair.change("maillog", logs(NOW))
    return pair


def all_of(later):
    """What a roll-forward has to leave."""
    logs_before = digest(later.image("maillog"))
    later.break_database()
    document = later.roll_forward()
    verdict = document["verdict"]
    assert verdict["ok"]
    assert verdict["detail"] == f"E00: required range {spelled(6, NOW)} present and sound"
    assert verdict["evidence"]["sets"][0]["required"] == [6, NOW]
    assert digest(later.image("maillog")) == logs_before
    assert digest(later.image("maildb")) == digest(later.folder / "maildb-m2.img")
    shown = later.cli.json("snapshot", "show", "noon")["set"]
    assert [one["check"] for one in shown["checks"] if one["ok"]] == ["roll-forward"]


def test_the_database_is_restored_and_the_logs_stay(later):
    all_of(later)
    text = later.cli("restore", "noon", "--roll-forward").out  # repeating it does no harm
    assert "roll-forward: ok: E00: required range" in text


def test_beside_a_daemon(state, fork_server, tmp_path):
    line = ServedCli(state, fork_server)
    with served(line, tmp_path):
        pair = make_pair(line, tmp_path)
        pair.change("maillog", logs(NOW))
        all_of(pair)
        pair.break_database()


def test_the_plan_says_every_step_and_the_measured_time(later):
    later.break_database()
    plan = later.roll_forward("--dry-run")["plan"]
    volumes = [(step["volume"], step["action"].split()[0]) for step in plan["steps"]]
    assert volumes == [
        ("maildb", "prove"), ("maillog", "prove"), ("maildb", "copy"), ("maildb", "compare"),
        ("maildb", "prove"), ("maillog", "prove"),
    ]  # fmt: skip
    assert all(step["seconds"] > 0 for step in plan["steps"])
    assert plan["seconds"] == pytest.approx(
        sum(step["seconds"] for step in plan["steps"]), abs=1e-4
    )
    sizes = [step["bytes"] for step in plan["steps"]]
    assert sizes[0] == len(SERVER.database())
    assert sizes[3] == SIZE
    assert "sync job" in plan["estimate"]
    later.roll_forward()
    later.break_database()
    assert "maildb by 1 restore job at" in later.roll_forward("--dry-run")["plan"]["estimate"]


def test_what_is_there_is_kept_first(cli, tmp_path):
    pair = make_pair(cli, tmp_path, spare=2)
    pair.change("maillog", logs(NOW))
    pair.break_database()
    broken = digest(pair.image("maildb"))
    document = pair.roll_forward("--keep-current")
    assert document["verdict"]["ok"]
    kept = {one["volume"]: one["path"] for one in document["kept"]["members"]}
    assert set(kept) == {"maildb", "maillog"}
    assert digest(tmp_path / kept["maildb"]) == broken
    assert digest(pair.image("maildb")) == digest(tmp_path / "maildb-m2.img")


def test_without_a_spare_plex_nothing_can_be_kept(later):
    assert "spare" in later.refused("--keep-current")
    assert "spare" in later.refused("--keep-current", "--dry-run")


def removed(name):
    return lambda top: (top / "Logs" / name).unlink()


def test_a_missing_log_is_refused(later):
    later.change("maillog", removed("E000000000E.log"))
    message = later.refused()
    assert "rule: the chain of logs must be whole" in message
    assert "14" in message


def test_the_first_needed_log_is_missing(later):
    later.change("maillog", removed("E0000000006.log"))
    assert "required logs are missing: 6 (E0000000006.log) (-543)" in later.refused()


def test_a_log_below_the_range_is_not_missed(later):
    later.change("maillog", removed("E0000000001.log"))
    assert later.roll_forward()["verdict"]["ok"]


def test_the_current_log_is_missing(later):
    later.change("maillog", removed("E00.log"))
    assert "-528" in later.refused()


def test_all_logs_are_gone(later):
    later.change("maillog", lambda top: shutil.rmtree(top / "Logs"))
    assert "rule: a roll-forward" in later.refused()


def test_a_damaged_log_is_refused(later):
    def flip(top):
        path = top / "Logs" / "E000000000D.log"
        content = bytearray(path.read_bytes())
        content[2 * 4096 + 100] ^= 1
        path.write_bytes(content)

    later.change("maillog", flip)
    message = later.refused()
    assert "rule: the chain of logs must be whole" in message
    assert "13" in message


def resealed(change):
    """Every log with its header changed and sealed again."""

    def rewrite(top):
        for path in (top / "Logs").glob("E00*.log"):
            content = path.read_bytes()
            page = bytearray(content[:4096])
            change(page)
            path.write_bytes(mail_files._sealed(page) + content[4096:])

    return rewrite


def test_another_stream_is_refused(later):
    def other(page):
        page[44:72] = mail_files._signature(99)

    later.change("maillog", resealed(other))
    message = later.refused()
    assert "another stream" in message
    assert "-530" in message


def test_circular_logging_is_refused(later):
    later.change("maillog", resealed(lambda page: struct.pack_into("<B", page, 639, 2)))
    assert "rule: under circular logging only the point in time" in later.refused()


def test_circular_logging_of_another_stream_is_no_matter(later):
    """Its logs may lie beside: Windows' own programs log so."""
    header = LogHeader(3, file_sectors=8, log_signature=signature(99), flags=2)
    content = log8(header)
    later.change("maillog", lambda top: (top / "Logs" / "SRU.log").write_bytes(content))
    assert later.roll_forward()["verdict"]["ok"]


def test_a_copy_that_is_gone_is_told(later):
    (later.folder / "maildb-m2.img").rename(later.folder / "aside")
    assert "maildb-m2.img: No such file" in later.refused(status=3)
    assert "maildb-m2.img: No such file" in later.refused("--dry-run", status=3)
    error = later.cli.error(3, "restore", "noon", "--dry-run")
    assert f"its copy {later.folder / 'maildb-m2.img'} is gone" in error["message"]


def test_logs_and_databases_on_one_volume_are_refused(cli, tmp_path):
    make(tmp_path / "mailall.img", database, logs(NOON))
    cli("volume", "add", "mailall", tmp_path / "mailall.img", "--group", "mail")
    cli("mirror", "add", "mailall", tmp_path / "mailall-m2.img", "--label", "m2")
    cli("snapshot", "create", "mail", "--label", "noon")
    error = cli.error(4, "restore", "noon", "--roll-forward")
    assert "rule: logs and databases share a volume (mailall)" in error["message"]
    assert "without --roll-forward" in error["hint"]


def test_a_volume_without_databases_cannot_be_named(later):
    assert "maillog holds no database" in later.refused("--volume", "maillog")
    assert "has no volume other" in later.refused("--volume", "other", status=3)
    assert later.roll_forward("--volume", "maildb")["verdict"]["ok"]


def test_two_database_volumes_go_together_or_one_alone(cli, tmp_path):
    make(tmp_path / "maildb2.img", other)
    cli("volume", "add", "maildb2", tmp_path / "maildb2.img", "--group", "mail")
    cli("mirror", "add", "maildb2", tmp_path / "maildb2-m2.img", "--label", "m2")
    pair = make_pair(cli, tmp_path)
    pair.change("maillog", logs(NOW))
    pair.break_database()
    cli.write("maildb2", 0, b"\xa5" * 65536)
    assert pair.roll_forward("--volume", "maildb")["verdict"]["ok"]
    assert digest(pair.image("maildb")) == digest(tmp_path / "maildb-m2.img")
    assert digest(pair.image("maildb2")) != digest(tmp_path / "maildb2-m2.img")
    pair.break_database()
    assert pair.roll_forward()["verdict"]["ok"]
    for name in ("maildb", "maildb2"):
        assert digest(pair.image(name)) == digest(tmp_path / f"{name}-m2.img")
    assert no_traces(cli.state) == []


def other(top):
    (top / "Other.edb").write_bytes(SERVER.database())


def test_instant_is_not_for_it(later):
    assert "--mode copy" in later.refused("--mode", "instant", status=2)


def test_without_any_database_it_is_refused(cli, tmp_path):
    make(tmp_path / "mail.img", lambda top: (top / "a").write_text("nothing"))
    cli("volume", "add", "mail", tmp_path / "mail.img")
    cli("mirror", "add", "mail", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "mail", "--label", "noon")
    assert "rule:" in cli.error(4, "restore", "noon", "--roll-forward")["message"]


def test_a_damaged_copy_is_refused(later):
    copy = later.folder / "maildb-m2.img"
    at = copy.read_bytes().find(SERVER.database()[-32768:])
    with copy.open("r+b") as file:
        file.seek(at + 500)
        file.write(b"damage")
    message = later.refused()
    assert "the set's database Mailbox.edb is damaged: page 16" in message


def test_an_interrupted_one_is_continued_by_repeating_it(later):
    with later.cli.opened("maildb") as volume:
        volume.write(8 << 20, bytes(range(256)) * (6 << 12))
        volume.flush()
    process = later.cli.start("--json", "restore", "noon", "--roll-forward", "--limit", "1M")
    for line in process.stderr:
        if '"bytes_copied"' in line and '"bytes_copied": 0' not in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "--roll-forward" in out
    assert later.cli.json("snapshot", "show", "noon")["set"]["state"] == "restoring"
    assert later.roll_forward()["verdict"]["ok"]
    assert digest(later.image("maildb")) == digest(later.folder / "maildb-m2.img")


def test_killed_and_repeated(later):
    with later.cli.opened("maildb") as volume:
        volume.write(8 << 20, bytes(range(256)) * (6 << 12))
        volume.flush()
    process = later.cli.start("--json", "restore", "noon", "--roll-forward", "--limit", "1M")
    for line in process.stderr:
        if '"bytes_copied"' in line and '"bytes_copied": 0' not in line:
            break
    process.kill()
    process.communicate(timeout=60)
    assert later.roll_forward()["verdict"]["ok"]
    assert digest(later.image("maildb")) == digest(later.folder / "maildb-m2.img")


def test_a_database_that_was_shut_down_is_refused(cli, tmp_path):
    def clean(top):
        database(top)
        content = bytearray((top / EDB).read_bytes())
        for at in (0, mail_files.PAGE):
            page = content[at : at + mail_files.PAGE]
            struct.pack_into("<I", page, 52, 3)
            struct.pack_into("<II", page, 296, 0, 0)
            content[at : at + mail_files.PAGE] = mail_files._sealed(page)
        (top / EDB).write_bytes(content)

    pair = make_pair(cli, tmp_path, fill=clean)
    assert "Mailbox.edb was shut down cleanly" in pair.refused()
