"""What a program says, kept within bounds."""

import os
import subprocess

import pytest
from conftest import MIB

from exshadow import sparse
from exshadow.program_output import ProgramOutput


@pytest.mark.parametrize("holes", [True, False])
def test_a_program_that_says_much_takes_little_disk(monkeypatch, holes):
    """Also on a file system that knows no holes."""
    if not holes:
        monkeypatch.setattr(sparse, "punch", lambda *_: False)
    program = "head -c 30M /dev/zero | tr '\\0' x; sleep 1; echo; echo the end"
    with ProgramOutput() as said:
        process = subprocess.Popen(["/bin/sh", "-c", program], stdout=said.file)
        said.wait(process, 60)
        assert os.fstat(said.file.fileno()).st_blocks * 512 < 2 * MIB
        words = said.last(10 * MIB)
        assert "\0" not in words
        assert words.endswith("\nthe end\n")


def test_only_the_last_words_are_given():
    with ProgramOutput() as said:
        process = subprocess.Popen(["/bin/echo", "one two \u00fcber"], stdout=said.file)
        said.wait(process, 60)
        assert said.last(5) == "\u00fcber\n"
        assert said.last(1000) == "one two \u00fcber\n"


def test_a_program_past_its_limit_is_told_and_left_to_the_caller():
    with ProgramOutput() as said:
        process = subprocess.Popen(["/bin/sleep", "60"], stdout=said.file)
        with pytest.raises(subprocess.TimeoutExpired):
            said.wait(process, 0.1)
        assert process.poll() is None
        process.kill()
        process.wait()
