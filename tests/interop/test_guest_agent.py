"""The guest-agent writer and Debian's qemu-guest-agent in a guest whose processes write."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from machine import run, sparse
from vss_writers import OneVolume

from exshadow import vss
from exshadow.writers.guest_agent import GuestAgentWriter
from interop.beds import MIB, need, sha256, status, until
from interop.killed import WHO, seconds_until_it_writes
from interop.linux_guest import Guest, unpacked

PORT = "org.qemu.guest_agent.0"
AGENT = (
    "qemu-ga --method=virtio-serial --path=$(ls /dev/vport*p1) --daemonize --statedir=/tmp"
    " --pidfile=/tmp/agent.pid"
)
TICK = (
    "n=0; while dd if=/dev/urandom of=/mnt/f bs=4k count=8 conv=fsync; do"
    " n=$((n+1)); echo $n >/t; done"
)
REQUEST = vss.BackupRequest(volumes=["data"], retry=vss.RetryLimits(tries=1))


@dataclass
class Machine:
    """A guest with a file system of its own, written to all the time."""

    guest: Guest
    image: Path
    socket: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def ticks(self) -> int:
        return int(self.guest("cat /t").strip())

    def goes_on(self) -> float:
        """Seconds until it writes again."""
        before, begin = self.ticks(), time.monotonic()
        until(lambda: self.ticks() > before, "the guest writes", 30)
        return time.monotonic() - begin

    def kill_agent(self) -> None:
        self.guest("kill -9 $(cat /tmp/agent.pid)")

    def start_agent(self) -> None:
        self.guest(AGENT)

    def backup(self, at: Callable[[str], None], **arguments: float) -> vss.BackupOutcome:
        """One backup; `at` is called at the provider's steps."""
        with vss.Coordinator() as coordinator:
            coordinator.register_provider(OneVolume(at))
            coordinator.register_writer(GuestAgentWriter(str(self.socket), **arguments))
            outcome = coordinator.backup(REQUEST)
            self.seconds = {one.event: one.at for one in coordinator.callbacks()}
        return outcome


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    need("mkfs.ext4", "e2fsck")
    folder = tmp_path_factory.mktemp("guest")
    agent = unpacked("qemu-guest-agent", "agent") / "usr/sbin/qemu-ga"
    image = sparse(folder / "disk.img", 64 * MIB)
    run("mkfs.ext4", "-q", "-F", image)
    socket = folder / "agent.sock"
    options = ["-drive", f"file={image},if=virtio,format=raw", "-device", "virtio-serial-pci"]
    options += ["-chardev", f"socket,path={socket},server=on,wait=off,id=agent"]
    options += ["-device", f"virtserialport,chardev=agent,name={PORT}"]
    with Guest(folder, [str(agent)], options) as guest:
        guest("mount -t ext4 /dev/vda /mnt")
        made = Machine(guest, image, socket)
        made.start_agent()
        guest(f"({TICK}) >/dev/null 2>&1 & sleep 1")
        yield made


@pytest.mark.timeout(300)
def test_the_guest_stands_still(machine: Machine, tmp_path: Path) -> None:
    """While it is frozen its disk does not change and nobody in it can write; the disk as it is
    then is a clean file system."""
    copy = tmp_path / "copy.img"

    def at(step: str) -> None:
        if step == "commit":
            before, digest = machine.ticks(), sha256(machine.image)
            shutil.copy(machine.image, copy)
            time.sleep(1)
            assert machine.ticks() <= before + 1  # it may have been between write and count
            assert sha256(machine.image) == digest == sha256(copy)

    machine.backup(at).check()
    print(
        f"frozen for {machine.seconds['thaw'] - machine.seconds['freeze']:.2f} s, 1 of them slept"
    )
    print(f"writes again {machine.goes_on():.2f} s after the set")
    found, said = status("e2fsck", "-f", "-n", copy)
    assert found == 0, said


@pytest.mark.timeout(300)
def test_an_agent_that_is_killed_and_started_again(machine: Machine) -> None:
    """As its service does. The new one knows that the guest is frozen, and thaws it."""

    def at(step: str) -> None:
        if step == "commit":
            machine.kill_agent()
            machine.start_agent()

    machine.backup(at).check()
    machine.goes_on()


@pytest.mark.timeout(300)
def test_an_agent_that_is_gone(machine: Machine) -> None:
    """Nobody can thaw the guest until there is an agent again; that is said aloud."""

    def at(step: str) -> None:
        if step == "commit":
            machine.kill_agent()

    outcome = machine.backup(at, timeout=2)
    assert "does not answer in time" in str(outcome.error)
    before = machine.ticks()
    time.sleep(1)
    assert machine.ticks() <= before + 1
    machine.start_agent()
    GuestAgentWriter(str(machine.socket)).rescue()
    machine.goes_on()


@pytest.mark.timeout(300)
def test_somebody_elses_freeze_stays(machine: Machine) -> None:
    other = GuestAgentWriter(str(machine.socket))
    with other._agent() as agent:
        other._ask(agent, "guest-fsfreeze-freeze")
    outcome = machine.backup(lambda step: None)
    assert "somebody else froze it" in str(outcome.error)
    with other._agent() as agent:
        assert other._ask(agent, "guest-fsfreeze-status") == "frozen"
    other.rescue()
    machine.goes_on()


@WHO
@pytest.mark.timeout(300)
def test_exshadow_is_killed(machine: Machine, who: tuple[str, ...]) -> None:
    def write() -> None:
        before = machine.ticks()
        until(lambda: machine.ticks() > before, "the guest writes", 60)

    after = seconds_until_it_writes(f"guest-agent?socket={machine.socket}", who, write)
    assert after < 10
