"""A Debian kernel under QEMU's TCG: a Linux NBD client that needs nothing of the host's kernel.

The root is an initramfs of busybox, nbd-client, mkfs.ext4 and fio with their libraries and the
kernel's modules. Its init runs the lines that come in on the serial console.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Self

import pytest
from machine import run

from interop.beds import need

CACHE = Path(__file__).parents[2] / "build" / "guest"
META = "linux-image-cloud-amd64"
MODULES = (
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
    "failover", "net_failover", "virtio_net", "nbd", "crc32c_generic", "crc16", "mbcache", "jbd2",
    "ext4", "virtio_blk", "virtio_console",
)  # fmt: skip
PROGRAMS = ("nbd-client", "mkfs.ext4", "fio")
TOOLS = ("qemu-system-x86_64", "busybox", "cpio", "dpkg", "apt-get", "ldd", *PROGRAMS)

INIT = """#!/bin/sh
mkdir -p /proc /sys /dev /tmp /mnt /copy
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -F /dev/ttyS0 -echo
while read module; do insmod $module || echo "insmod $module failed"; done </modules
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo '@@up'
while read -r line; do
    sh -c "$line" </dev/null 2>&1
    echo "@@done $?"
done
poweroff -f
"""


def kernel_package() -> Path:
    """The newest Debian cloud kernel."""
    if not list(CACHE.glob("kernel/boot/vmlinuz-*")):
        try:
            (package,) = re.findall(
                r"Depends: (linux-image-\S+)", run("apt-cache", "depends", META)
            )
        except (ValueError, subprocess.CalledProcessError) as problem:
            pytest.skip(f"needs {META} from a Debian mirror (apt-get update): {problem}")
        unpacked(package, "kernel")
    return CACHE / "kernel"


def unpacked(package: str, name: str) -> Path:
    """A Debian package's files, downloaded once, not installed; a skip where it cannot be had."""
    place = CACHE / name
    if place.exists():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", "-q", package], cwd=CACHE, check=True)
    except subprocess.CalledProcessError as problem:
        pytest.skip(f"needs {package} from a Debian mirror (apt-get update): {problem}")
    (archive,) = CACHE.glob(f"{package}_*.deb")
    half = CACHE / f"{name}.half"
    shutil.rmtree(half, ignore_errors=True)
    run("dpkg", "-x", archive, half)
    half.rename(place)
    archive.unlink()
    return place


def _put_program(root: Path, name: str) -> None:
    """A program, by name or path, with the libraries that it is linked to."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    assert found is not None
    shutil.copy(found, root / "bin" / Path(name).name)
    for library in re.findall(r"(/\S+) \(0x", run("ldd", found)):
        target = root / library.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)


def _put_modules(root: Path, modules: Path) -> None:
    (root / "lib/modules").mkdir(parents=True)
    names = []
    for module in MODULES:
        for path in modules.rglob(f"{module}.ko"):
            shutil.copy(path, root / "lib/modules")
            names.append(f"/lib/modules/{path.name}\n")
    (root / "modules").write_text("".join(names))


def build_initramfs(kernel: Path, folder: Path, programs: Sequence[str] = PROGRAMS) -> Path:
    root = folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "busybox", root / "bin/busybox")
    for program in programs:
        _put_program(root, program)
    for applet in run("busybox", "--list").split():
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")
    _put_modules(root, kernel / "lib/modules")
    init = root / "init"
    init.write_text(INIT)
    init.chmod(0o755)
    archive = folder / "initramfs"
    with archive.open("wb") as file:
        subprocess.run(
            "find . -print0 | cpio --null --create --format=newc --quiet",
            shell=True, cwd=root, stdout=file, check=True,
        )  # fmt: skip
    shutil.rmtree(root)
    return archive


class Guest:
    """A running guest; it reaches the host's loopback as 10.0.2.2. `programs` go into it beside the
    usual ones, `options` to QEMU."""

    def __init__(
        self, folder: Path, programs: Sequence[str] = (), options: Sequence[str] = ()
    ) -> None:
        need(*TOOLS)
        kernel = kernel_package()
        (image,) = kernel.glob("boot/vmlinuz-*")
        initramfs = build_initramfs(kernel, folder, (*PROGRAMS, *programs))
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-no-reboot"]
        command += ["-kernel", str(image), "-initrd", str(initramfs), *options]
        command += ["-append", "console=ttyS0 quiet panic=-1"]
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
        command += ["-netdev", "user,id=n,restrict=off", "-device", "virtio-net-pci,netdev=n"]
        self._lines: Queue[str] = Queue()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self._until("@@up", 120)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\r\n"))

    def _until(self, mark: str, seconds: float) -> tuple[str, list[str]]:
        """The line with the mark, and those before it."""
        said: list[str] = []
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, end - time.monotonic()))
            except Empty:
                raise AssertionError(
                    f"no {mark} within {seconds} s after:\n" + "\n".join(said)
                ) from None
            before, found, after = line.partition(mark)
            if found:
                return after, [*said, before] if before else said
            said.append(line)

    def __call__(self, line: str, seconds: float = 60) -> str:
        """Run a shell line in the guest; it must end with status 0."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        found, said = self._until("@@done ", seconds)
        assert found == "0", f"{line}: {found}\n" + "\n".join(said)
        return "\n".join(said)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
