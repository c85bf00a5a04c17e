"""kill -9 at every step of a policy run: the next run finishes or undoes it. No half set, no
orphan, whatever the provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from provider_bed_native import NativeBed
from provider_beds import Bed
from provider_trial import Rotation, bed_classes
from vss_writers import Application

CHILD = Path(__file__).with_name("policy_child.py")


class Killer:
    """Runs policies in processes that may be killed at a step."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
        )

    def run(self, bed: Bed, deadly: int | str = 0, **more: str) -> int | None:
        """How many steps the run had; None when it was killed. ``more``: what is round the run."""
        order = {"bed_name": type(bed).__name__, "folder": str(bed.folder), "deadly": deadly}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order | more) + "\n")
        self._process.stdin.flush()
        status, said = json.loads(self._process.stdout.readline())
        assert status in (0, -9), status
        if status == -9:
            return None
        assert int(said) < 1000, "the run did not end well"
        return int(said)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    made = Killer()
    yield made
    made.close()


@pytest.fixture(params=bed_classes(), ids=lambda one: one.__name__)
def kind(request: pytest.FixtureRequest) -> type[Bed]:
    found: type[Bed] = request.param
    return found


@pytest.fixture(params=[3, pytest.param(1, marks=pytest.mark.soak)], ids=["third", "every"])
def stride(request: pytest.FixtureRequest) -> int:
    """Every third step; every one when there is time."""
    found: int = request.param
    return found


def goes_on(bed: Bed, rotation: Rotation, number: int) -> None:
    """After a kill: production is written to, and a run makes its set of it."""
    bed.write("db", 4096 * (number % 64), f"{number}".encode().ljust(512, b"k"))
    made = rotation.good().made
    assert made is not None
    rotation.check()
    assert rotation.bytes_of(made) == rotation.production()


def test_killed_at_any_step_of_the_first_run(
    kind: type[Bed], killer: Killer, tmp_path: Path, stride: int
) -> None:
    """From the run that was not killed it is known how many copies there are to be."""
    counts = {}
    for number in range(1, 100, stride):
        folder = tmp_path / str(number)
        folder.mkdir()
        bed = kind(folder)
        try:
            ended = killer.run(bed, number)
            rotation = Rotation(bed)
            if ended is None:
                goes_on(bed, rotation, number)
            rotation.check()
            with rotation.room() as room:
                ready = sum(one.state == "ready" for one in room.sets())
            counts[number] = len(bed.copies()) - ready * bed.copies_of_a_set
        finally:
            bed.close()
        if ended is not None:
            break
    assert number > 10
    assert set(counts.values()) == {counts[number]}


def test_killed_at_any_step_of_a_rotation(
    kind: type[Bed], killer: Killer, tmp_path: Path, stride: int
) -> None:
    bed = kind(tmp_path)
    try:
        rotation = Rotation(bed)
        for _ in bed.mirrors:
            rotation.good()
        there = len(bed.copies())
        for number in range(1, 100, stride):
            bed.write("logs", 0, f"{number}".encode().ljust(512, b"w"))
            ended = killer.run(bed, number)
            goes_on(bed, rotation, number)
            assert len(bed.copies()) == there
            if ended is not None:
                break
    finally:
        bed.close()
    assert number > 8


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path)
    yield made
    made.end()


_ROUND = ("before _run", "begin split", "start split", "before tell")


@pytest.mark.parametrize(
    "steps",
    [
        _ROUND,
        pytest.param(range(1, 100), marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
    ids=["some", "every"],
)
def test_killed_round_hooks_writers_and_notification(
    killer: Killer, tmp_path: Path, application: Application, steps: Iterable[int | str]
) -> None:
    """Nobody stays frozen, and the next run does all of it again."""
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\ncat >> {tmp_path}/hooks\n")
    script.chmod(0o700)
    log = tmp_path / "log"
    writer = f"vss_writers:ProvenWriter?pid={application.pid}&log={log}"
    bed = NativeBed(tmp_path)
    try:
        rotation = Rotation(bed)
        for _ in bed.mirrors:
            rotation.good()
        there = len(bed.copies())
        for number, step in enumerate(steps):
            log.write_text("")
            ended = killer.run(bed, step, script=str(script), writer=writer)
            told = log.read_text().split()
            if step in ("begin split", "start split"):
                assert "freeze" in told
            application.goes_on_within(20)
            goes_on(bed, rotation, number)
            assert len(bed.copies()) == there
            if ended is not None:
                break
        assert (ended is None) == isinstance(step, str), "a step that never came"
        assert isinstance(step, str) or step > 20
        # The last one had all its hooks: it was killed before people were told, or not at all.
        events = [json.loads(one)["event"] for one in split_documents(tmp_path / "hooks")]
        assert events[-3:] == ["before", "hand-over", "after"]
    finally:
        bed.close()


def split_documents(file: Path) -> list[str]:
    """JSON documents that hooks wrote one after the other."""
    return ['{"event"' + one for one in file.read_text().split('{"event"')[1:]]
