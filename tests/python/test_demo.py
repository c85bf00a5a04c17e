"""The demo: its own parts, the whole small story, and that it fails when it must."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from exshadow import demo, errors
from exshadow.cli.main import main
from exshadow.demo import application, ext4, mail_pair, story
from exshadow.service.reporter import Silent

SMALL = demo.SIZES["small"]

pytestmark = pytest.mark.skipif(
    shutil.which("debugfs", path="/usr/sbin:/sbin:/usr/bin") is None,
    reason="e2fsprogs is not installed",
)


@pytest.fixture
def image(tmp_path: Path) -> ext4.Ext4Image:
    root = tmp_path / "root"
    root.mkdir()
    application.build_database(root / "mail.db", SMALL.rows)
    (root / "small.txt").write_bytes(b"text")
    with (root / "holes.bin").open("wb") as file:
        file.truncate(65536)
        file.seek(32768)
        file.write(b"x" * 4096)
    made = ext4.Ext4Image(tmp_path / "disk.img", ext4.find_tools())
    made.build(root, SMALL.image_size)
    return made


def test_blocks_are_where_the_bytes_are(image: ext4.Ext4Image, tmp_path: Path):
    content = (tmp_path / "root" / "mail.db").read_bytes()
    disk = np.memmap(image.path, dtype=np.uint8, mode="r").reshape(-1, ext4.BLOCK)
    assert disk[image.blocks_of("/mail.db")].tobytes() == content


def test_file_with_holes_is_refused(image: ext4.Ext4Image):
    with pytest.raises(errors.IntegrityError, match="holes"):
        image.blocks_of("/holes.bin")


def test_unknown_file_is_told(image: ext4.Ext4Image, tmp_path: Path):
    with pytest.raises(errors.IntegrityError):
        image.blocks_of("/absent")
    with pytest.raises(errors.IntegrityError):
        image.inode_block("/absent")
    assert not image.extract("/absent", tmp_path / "out")


def test_witnesses_tell_sound_from_damaged(image: ext4.Ext4Image, tmp_path: Path):
    assert image.fsck()[0]
    assert image.extract("/mail.db", tmp_path / "out.db")
    assert application.judge_database(tmp_path / "out.db")[0]
    with (tmp_path / "out.db").open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xa5" * 4096 * 20)
    assert not application.judge_database(tmp_path / "out.db")[0]
    (tmp_path / "out.db").write_bytes(b"\xa5" * 8192)
    assert not application.judge_database(tmp_path / "out.db")[0]
    place = image.inode_block("/small.txt") * ext4.BLOCK
    with image.path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xa5" * ext4.BLOCK)
    assert not image.fsck()[0]


def test_every_changed_page_reaches_the_volume_and_the_file_keeps_its_size(tmp_path: Path):
    staged, volume = tmp_path / "staged.db", tmp_path / "volume.db"
    application.build_database(staged, SMALL.rows)
    shutil.copyfile(staged, volume)
    size = staged.stat().st_size
    flushes = []
    with volume.open("r+b") as disk:

        def write_page(page: int, data: bytes) -> None:
            disk.seek(page * 4096)
            disk.write(data)

        with closing(
            application.Application(staged, write_page, lambda: flushes.append(disk.flush()))
        ) as app:
            for _ in range(10):
                app.transact()
                assert volume.read_bytes() == staged.read_bytes()
            with app:
                app.wait_for(15)
                with app.frozen() as digest:
                    moment = story.sha256(volume)
                    assert application.judge_database(volume)[0]
            assert digest() == moment
    assert staged.stat().st_size == size
    assert len(flushes) == app.transactions
    with closing(sqlite3.connect(volume)) as database:
        (count,) = database.execute("SELECT count(*) FROM message").fetchone()
    assert count > SMALL.rows // 2


def test_application_hands_its_failure_over(tmp_path: Path):
    application.build_database(tmp_path / "staged.db", 100)

    def full(page: int, data: bytes) -> None:
        raise errors.NoSpaceError("no room")

    app = application.Application(tmp_path / "staged.db", full, lambda: None)
    with closing(app), pytest.raises(errors.NoSpaceError), app:
        app.wait_for(1)


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(ext4, "_SBIN", "/nowhere")
    with pytest.raises(errors.NotFoundError, match="mke2fs") as caught:
        demo.run("small", Silent())
    assert "e2fsprogs" in caught.value.hint


def test_whole_story_and_no_file_left(tmp_path: Path):
    report = demo.run("small", Silent(), folder=tmp_path / "new", second_act=False)
    assert [step.name for step in report.steps] == [
        *("build", "adopt", "mirror", "work", "snapshot", "keep writing", "damage"),
        *("restore", "resync", "verify", "compare"),
    ]
    assert all(check.ok for check in report.checks)
    moved = {step.name: step.moved for step in report.steps}
    assert 0 < moved["restore"] < SMALL.image_size
    assert 0 < moved["resync"] < SMALL.image_size
    assert list(tmp_path.iterdir()) == []


def test_keep_leaves_the_files(tmp_path: Path):
    report = demo.run("small", Silent(), folder=tmp_path, keep=True, second_act=False)
    assert (Path(report.kept_in) / "mail.img").stat().st_size == SMALL.image_size
    assert (Path(report.kept_in) / "mail.exv").exists()


@pytest.mark.parametrize(
    ("left_out", "told"),
    [("_damage", "damaged"), ("_restore", "production: the file system is sound")],
)
def test_demo_fails_when_a_step_has_no_effect(
    left_out: str, told: str, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(demo.Story, left_out, lambda *_: None)
    with pytest.raises(errors.IntegrityError, match=told) as caught:
        demo.run("small", Silent(), folder=tmp_path)
    assert caught.value.exit_status == 5
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.InvalidError):
        demo.run("small", Silent(), folder=tmp_path / "file")


def test_second_act(tmp_path: Path):
    """A mail server's volumes rolled forward, all by the command line; nothing of it stays."""
    if why := mail_pair.hindrance():
        pytest.skip(why)
    report = demo.Report("small", Silent())
    (tmp_path / "act").mkdir()
    mail_pair.MailPair(tmp_path / "act", report).play()
    assert [step.name for step in report.steps] == [
        *("build mail", "mirror mail", "snapshot mail", "verify mail", "mail goes on"),
        *("damage mail", "plan mail", "roll forward", "drill"),
    ]
    assert all(check.ok for check in report.checks)
    assert len(report.checks) == 6
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert str(tmp_path) not in mounts
    assert list((tmp_path / "act" / "drill").iterdir()) == []


def test_second_act_fails_when_the_damage_does_not_show(tmp_path: Path, monkeypatch):
    if why := mail_pair.hindrance():
        pytest.skip(why)
    monkeypatch.setattr(mail_pair.MailPair, "_write", lambda *_: None)
    with pytest.raises(errors.IntegrityError, match="ended with 0"):
        mail_pair.MailPair(tmp_path, demo.Report("small", Silent())).play()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text(encoding="utf-8")


def test_second_act_is_skipped_with_a_sentence(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(mail_pair.os, "geteuid", lambda: 1000)
    report = demo.run("small", Silent(), folder=tmp_path)
    assert report.skipped == [
        "the second act, a mail server's roll-forward, is left out: it mounts file systems, "
        "which needs root"
    ]
    assert report.to_json()["demo"]["skipped"] == report.skipped
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(mail_pair, "_TOOLS", ("mkntfs-of-nowhere",))
    if not mail_pair.os.geteuid():
        assert "mkntfs-of-nowhere is missing" in mail_pair.hindrance()


def test_command_gives_one_json_document(cli, tmp_path: Path):
    document = cli.json("demo", "--size", "small", "--dir", tmp_path)["demo"]
    assert document["ok"] is True
    assert {"name", "seconds", "bytes", "detail"} == set(document["steps"][0])


def test_command_prints_a_table(tmp_path: Path, monkeypatch, capsys):
    """Without the second act, which test_command_gives_one_json_document has."""
    monkeypatch.setattr(mail_pair.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("EXSHADOW_STATE", str(tmp_path / "state"))
    assert main(["--quiet", "demo", "--size", "small", "--dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "restore" in text
    assert "checks, all as they must be" in text
