"""Files that a command writes for somebody: links and devices stay what they are."""

import os
import threading
from pathlib import Path
from tempfile import TemporaryFile

from exshadow.service.whole_file import is_nameless, write_whole


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    with real.open() as reader:
        write_whole(link, "new")
        assert reader.read() == "old"
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """As ``/dev/stdout`` and other devices are, which must not become files."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "page")
    reader.join(10)
    assert got == ["page"]
    assert pipe.is_fifo()


def test_an_open_file_without_a_name_is_written_to(tmp_path: Path) -> None:
    with TemporaryFile(dir=tmp_path) as file:
        path = Path(f"/dev/fd/{file.fileno()}")
        assert is_nameless(path)
        write_whole(path, "page")
        assert file.read() == b"page"
    assert list(tmp_path.iterdir()) == []
