"""snapshot export --to: onto an image file or device, whole or by changes."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from conftest import MIB, Shop
from machine import loop_device, mounted, run, sparse


@pytest.fixture
def sets(shop: Shop, tmp_path: Path) -> Shop:
    """Sets one and two, of m2 and m3, with a write between."""
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    shop.cli("snapshot", "create", "shop", "--label", "one", "--plex", "m2")
    shop.write("db", 65536, b"z" * 70_000)
    shop.cli("snapshot", "create", "shop", "--label", "two", "--plex", "m3")
    return shop


def to(target: Path, *more: str) -> list[str]:
    return ["--to", str(target), "--volume", "db", *more]


def test_an_image_is_made_and_brought_forward_by_changes(sets: Shop, tmp_path: Path) -> None:
    """With a digest that other programs compute as well."""
    target = tmp_path / "standby.img"
    found = sets.cli.json("snapshot", "export", "one", *to(target))
    assert target.read_bytes() == sets.bytes("db-m2")
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert found["target"] == {
        "path": str(target), "volume": "db", "bytes": target.stat().st_size, "sha256": digest,
    }  # fmt: skip
    sets.cli("snapshot", "export", "two", tmp_path / "diff", "--since", "one")
    changes = hashlib.sha256((tmp_path / "diff" / "db.rbd-diff").read_bytes()).hexdigest()
    found = sets.cli.json("snapshot", "export", "two", *to(target, "--since", "one"))
    assert target.read_bytes() == sets.bytes("db-m3")
    assert found["target"]["sha256"] == changes
    assert found["job"]["bytes_copied"] <= 2 * 65536
    again = sets.cli.json("snapshot", "export", "two", *to(target, "--since", "one"))
    assert again["target"]["sha256"] is None
    assert sorted(one.name for one in tmp_path.glob("standby*")) == [
        "standby.img", "standby.img.exshadow-base",
    ]  # fmt: skip


def test_changes_go_onto_their_own_base_only(sets: Shop, tmp_path: Path) -> None:
    target = tmp_path / "standby.img"
    since = to(target, "--since", "one")
    sets.cli.error(3, "snapshot", "export", "two", *since)
    target.write_bytes(sets.bytes("db"))
    assert "nothing says" in sets.cli.error(5, "snapshot", "export", "two", *since)["message"]
    sets.cli("snapshot", "export", "one", *to(target, "--force"))
    with target.open("r+b") as file:
        file.write(b"written to")
    before = target.read_bytes()
    error = sets.cli.error(5, "snapshot", "export", "two", *since)
    assert "written to" in error["message"]
    assert "import" not in error["hint"]
    assert f"--to {target} --force" in error["hint"]
    assert target.read_bytes() == before


def test_what_is_there_or_used_is_not_overwritten(sets: Shop, tmp_path: Path) -> None:
    target = tmp_path / "standby.img"
    target.write_bytes(b"precious")
    error = sets.cli.error(4, "snapshot", "export", "one", *to(target))
    assert (error["code"], "--force" in error["hint"]) == ("exists", True)
    assert target.read_bytes() == b"precious"
    link = tmp_path / "link.img"
    link.symlink_to(tmp_path / "db.img")
    hard = tmp_path / "hard.img"
    hard.hardlink_to(tmp_path / "db-m2.img")
    for used in (tmp_path / "db.img", link, hard, sets.cli.state / "db.exv"):
        before = used.read_bytes()
        sets.cli.error(8, "snapshot", "export", "one", *to(used, "--force"))
        assert used.read_bytes() == before
    sets.cli.error(2, "snapshot", "export", "one", *to(tmp_path))
    sets.cli.error(2, "snapshot", "export", "one", "--to", target)  # which of two volumes?
    sets.cli.error(2, "snapshot", "export", "one", tmp_path / "x", *to(target))
    sets.cli.error(2, "snapshot", "export", "one", tmp_path / "x", "--force")
    with TemporaryFile(dir=tmp_path) as file:
        nameless = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        sets.cli.error(2, "snapshot", "export", "one", *to(nameless, "--force"))
    sets.cli.error(3, "snapshot", "export", "one", *to(tmp_path / "none" / "x.img"))


def test_a_device_is_written_only_with_force_and_while_nobody_uses_it(
    sets: Shop, tmp_path: Path
) -> None:
    wanted = sets.bytes("db-m2")
    with ExitStack() as stack:
        run("mkfs.ext4", "-q", "-F", sparse(tmp_path / "disk.img", 4 * MIB))
        device = stack.enter_context(loop_device(tmp_path / "disk.img"))
        more = to(Path(device), "--force")
        with mounted(device, tmp_path / "place", "-o", "ro,noload"):
            sets.cli.error(8, "snapshot", "export", "one", *more)
            sets.cli.error(8, "snapshot", "export", "one", *to(tmp_path / "disk.img", "--force"))
        sets.cli.error(4, "snapshot", "export", "one", *to(Path(device)))
        plex = stack.enter_context(loop_device(tmp_path / "db-m3.img"))
        sets.cli.error(8, "snapshot", "export", "one", *to(Path(plex), "--force"))
        stack.callback(Path(f"{device}.exshadow-base").unlink, missing_ok=True)
        sets.cli("snapshot", "export", "one", *more)
        assert Path(device).read_bytes()[: len(wanted)] == wanted
        sets.cli("snapshot", "export", "two", *to(Path(device), "--since", "one"))
        assert Path(device).read_bytes()[: len(wanted)] == sets.bytes("db-m3")
