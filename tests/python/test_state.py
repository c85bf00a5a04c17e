"""The state folder: where it is, what is in it, what may not be used twice."""

import os
from pathlib import Path

import pytest

from exshadow.errors import InvalidError, NotFoundError, PermissionRefusedError
from exshadow.service import conflicts
from exshadow.service.state import StateFolder, locate


def test_where_the_state_folder_is():
    assert locate("/x", {"EXSHADOW_STATE": "/y"}, root=True) == Path("/x")
    assert locate(None, {"EXSHADOW_STATE": "/y"}, root=True) == Path("/y")
    assert locate(None, {}, root=True) == Path("/var/lib/exshadow")
    assert locate(None, {"XDG_STATE_HOME": "/z"}, root=False) == Path("/z/exshadow")
    for base in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert locate(None, base, root=False) == Path.home() / ".local/state/exshadow"


def test_it_is_made_for_its_owner_only(tmp_path):
    folder = StateFolder(tmp_path / "a" / "b")
    assert folder.names() == []
    assert not folder.path.exists()
    folder.create()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.create()


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidError):
        StateFolder(tmp_path / "file").names()
    with pytest.raises(InvalidError):
        StateFolder(tmp_path / "file" / "below").create()


def test_names_come_from_volume_files_and_metadata_copies(tmp_path):
    folder = StateFolder(tmp_path)
    for name in ("b.exv", "a.exv", "catalog.sqlite", ".hidden.exv", "x.exv.bak"):
        (tmp_path / name).touch()
    folder.remember_metadata_copy("lost", "/elsewhere/lost.exv")
    assert folder.names() == ["a", "b", "lost"]
    assert folder.metadata_copy("lost") == "/elsewhere/lost.exv"
    assert folder.metadata_copy("a") is None
    assert folder.exists("lost")
    folder.remember_metadata_copy("lost", None)
    assert not folder.exists("lost")


def test_unknown_volumes_and_groups(tmp_path):
    folder = StateFolder(tmp_path)
    with pytest.raises(NotFoundError):
        folder.inspect("nobody")
    with pytest.raises(NotFoundError):
        folder.group("nobody")
    with pytest.raises(InvalidError):
        folder.inspect("../escape")


def test_links_lead_to_the_same_bytes(tmp_path):
    path = tmp_path / "a"
    path.touch()
    (tmp_path / "symbolic").symlink_to(path)
    os.link(path, tmp_path / "hard")
    (tmp_path / "other").touch()
    assert conflicts.same(path, tmp_path / "symbolic")
    assert conflicts.same(path, tmp_path / "hard")
    assert conflicts.same(path, tmp_path / "x" / ".." / "a")
    assert not conflicts.same(path, tmp_path / "other")
    assert conflicts.same(tmp_path / "none", tmp_path / "none")
    assert not conflicts.same(tmp_path / "none", tmp_path / "nothing")


def test_a_file_nobody_may_write_is_refused_also_to_root(tmp_path):
    path = tmp_path / "a"
    path.touch(mode=0o444)
    with pytest.raises(PermissionRefusedError):
        conflicts.refuse_read_only(str(path))
    path.chmod(0o644)
    conflicts.refuse_read_only(str(path))
    conflicts.refuse_read_only(str(tmp_path / "none"))
