"""snapshot verify --check ese: real ESE files on NTFS and ext4 copies, and as bare copies."""

import shutil
from pathlib import Path

import ese_samples
import pytest
from checked import make_file_system, need_devices, put_live, split_off


@pytest.fixture(autouse=True)
def _ground():
    """Without the real files nothing here is tested, and that is said."""
    need_devices()
    ese_samples.folder()


def put(image: Path, place: Path, folder: str, *files: Path) -> None:
    def fill(top: Path) -> None:
        (top / folder).mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, top / folder / file.name)

    put_live(image, place, fill)


def of_set(name: str) -> tuple[list[Path], list[Path]]:
    """The databases and the rest of a real set."""
    files = sorted((ese_samples.folder() / name).iterdir())
    databases = [one for one in files if one.suffix in (".dat", ".jfm")]
    return databases, [one for one in files if one not in databases]


@pytest.fixture(params=["set-win10-clean", "set-win11-dirty"])
def pair(request, tmp_path):
    """The database on one NTFS volume, its logs on another."""
    databases, logs = of_set(request.param)
    for name, folder, files in (("db", "Mailbox/One", databases), ("logs", "Logs", logs)):
        image = make_file_system("ntfs", tmp_path / f"{name}.img")
        put(image, tmp_path / "made", folder, *files)
    return request.param


def test_a_database_and_its_logs_on_another_volume_are_one_set(pair, cli, tmp_path):
    checked = split_off(cli, tmp_path, "db", "logs")
    verdict = checked.verify("--check", "ese")
    evidence = verdict["evidence"]
    assert "db/Mailbox/One/SRUDB.dat" in {one["path"] for one in evidence["files"]}
    assert [(one["base"], one["ok"]) for one in evidence["sets"]] == [("SRU", True)]
    if pair == "set-win11-dirty":
        assert evidence["sets"][0]["required"]
    folders = ("--folder", "db:Mailbox/One", "--folder", "logs:Logs")
    chosen = checked.verify("--check", "ese", *folders)
    assert len(chosen["evidence"]["files"]) == len(evidence["files"])


def test_without_a_required_log_it_fails(cli, tmp_path):
    databases, logs = of_set("set-win11-dirty")
    kept = [one for one in logs if one.name not in ("SRU0005B.log", "SRU.log")]
    for name, files in (("db", databases), ("logs", kept)):
        put(make_file_system("ntfs", tmp_path / f"{name}.img"), tmp_path / "made", "x", *files)
    verdict = split_off(cli, tmp_path, "db", "logs").verify("--check", "ese", status=5)
    assert "missing" in verdict["detail"]


def test_the_database_volume_alone_lacks_its_logs(cli, tmp_path):
    databases, _ = of_set("set-win11-dirty")
    put(make_file_system("ntfs", tmp_path / "db.img"), tmp_path / "made", "x", *databases)
    split_off(cli, tmp_path, "db").verify("--check", "ese", status=5)


def damaged(path: Path, folder: Path) -> Path:
    """A copy of a file with one bit of a page in its middle flipped."""
    copy = folder / path.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2 // 4096 * 4096 + 1000] ^= 4
    copy.write_bytes(content)
    return copy


def test_one_bit_is_found(cli, tmp_path):
    databases, logs = of_set("set-win10-clean")
    bad = [damaged(one, tmp_path) if one.suffix == ".dat" else one for one in databases]
    put(make_file_system("ntfs", tmp_path / "db.img"), tmp_path / "made", "x", *bad, *logs)
    verdict = split_off(cli, tmp_path, "db").verify("--check", "ese", status=5)
    assert verdict["detail"].startswith("db/x/SRUDB.dat: page ")


@pytest.mark.parametrize("bad", [False, True])
def test_a_bare_database_is_a_copy(bad, cli, tmp_path):
    source = ese_samples.folder() / "sru-4k-clean.dat"
    shutil.copyfile(source, tmp_path / "db.img")
    if bad:
        damaged(source, tmp_path).rename(tmp_path / "db.img")
    (tmp_path / "db.img").chmod(0o600)
    verdict = split_off(cli, tmp_path, "db").verify("--check", "ese", status=5 if bad else 0)
    assert [one["path"] for one in verdict["evidence"]["files"]] == ["db/db.edb"]


def test_no_database_proves_nothing(cli, tmp_path):
    image = make_file_system("ext4", tmp_path / "db.img")
    put_live(image, tmp_path / "made", lambda place: (place / "a").write_text("no database"))
    verdict = split_off(cli, tmp_path, "db").verify("--check", "ese", status=5)
    assert "no ESE" in verdict["detail"]


def test_a_link_to_productions_file_proves_nothing(cli, tmp_path):
    image = make_file_system("ext4", tmp_path / "db.img")

    def fill(place):
        shutil.copyfile(ese_samples.folder() / "multi.edb", place / "a.edb")
        (place / "b.edb").symlink_to(ese_samples.folder() / "multi.edb")
        (place / "000000010000000000000001").symlink_to("/nonexistent")

    put_live(image, tmp_path / "made", fill)
    checked = split_off(cli, tmp_path, "db")
    detail = checked.verify("--check", "ese", status=5)["detail"]
    assert detail.startswith("db/b.edb: a link to ")
    message = cli.error(4, "restore", "noon", "--roll-forward")["message"]
    assert "no volume of the set holds logs" in message
