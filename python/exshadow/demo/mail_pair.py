"""The second act: a mail server's database volume and log volume, rolled forward after damage.

Two NTFS images stand in for the volumes of an Exchange server. Everything is done by the command
line. The replay of the logs itself is the server's, when it mounts the database.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exshadow.demo.mail_files import PAGE, MailServer
from exshadow.demo.report import Report
from exshadow.errors import IntegrityError
from exshadow.ese.generations import spelled
from exshadow.model import Json

_SIZE = 32 << 20
_NOON, _NOW = 12, 16
"""The current log at the snapshot, and at the damage."""
_PIECE = 65536
_TOOLS = ("mkntfs", "mount.ntfs-3g")


def hindrance() -> str:
    """Why the act cannot be played here; empty when it can."""
    if os.geteuid() != 0:
        return "it mounts file systems, which needs root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for tool in _TOOLS:
        if shutil.which(tool, path=path) is None:
            return f"{tool} is missing: apt-get install ntfs-3g"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            return f"there is no {device}"
    return ""


class MailPair:
    """The two volumes of group mail in a state folder of their own."""

    def __init__(self, place: Path, report: Report) -> None:
        self._place, self._report = place, report
        self._server = MailServer()
        self._images = {name: place / f"{name}.img" for name in ("maildb", "maillog")}

    def play(self) -> None:
        """All steps; IntegrityError when something is not as it must be."""
        self._build()
        self._split()
        self._work_on()
        logs = self._bytes("maillog")
        self._damage()
        self._roll_forward()
        self._report.check("the current logs were kept", self._bytes("maillog") == logs, "maillog")
        copy = (self._place / "maildb-m2.img").read_bytes()
        self._report.check(
            "the database volume is the set's", self._bytes("maildb") == copy, "maildb"
        )
        self._judge_production("after the roll-forward", sound=True)
        with self._report.step("drill") as step:
            found = self._do("drill", "mail", "--check", "ese", "--dir", self._place / "drill")
            step.detail = found["drill"]["detail"]

    def _bytes(self, name: str) -> bytes:
        return self._images[name].read_bytes()

    # --- the command line ---

    def _do(self, *words: str | Path, status: int = 0) -> Json:
        """One command; its document. IntegrityError when it ends otherwise."""
        state = self._place / "state"
        command = [sys.executable, "-m", "exshadow", "--state", state, "--json", "--quiet", *words]
        done = subprocess.run(
            [str(word) for word in command],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        if done.returncode != status:
            said = (done.stdout + done.stderr).strip()
            raise IntegrityError(
                f"exshadow {' '.join(map(str, words))} ended with {done.returncode}: {said[:500]}"
            )
        found: Any = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    @contextmanager
    def _mounted(self, image: Path, *options: str) -> Iterator[Path]:
        folder = self._place / "mounts" / image.stem
        folder.mkdir(parents=True, exist_ok=True)
        how = ",".join(("loop", *options))
        _run("mount", "-t", "ntfs-3g", "-o", how, image, folder)
        try:
            yield folder
        finally:
            _run("umount", folder)

    # --- the steps ---

    def _build(self) -> None:
        with self._report.step("build mail") as step:
            for image in self._images.values():
                with image.open("wb") as file:
                    file.truncate(_SIZE)
                _run("mkntfs", "-q", "-F", "-Q", image)
            with self._mounted(self._images["maildb"]) as top:
                (top / "Mailbox").mkdir()
                (top / "Mailbox" / "Mailbox.edb").write_bytes(self._server.database())
            self._put_logs(self._images["maillog"], _NOON)
            step.detail = "a database volume and a log volume, NTFS, generated ESE files"

    def _put_logs(self, image: Path, current: int) -> None:
        with self._mounted(image) as top:
            folder = top / "Logs"
            folder.mkdir(exist_ok=True)
            for name, content in self._server.logs(1, current).items():
                (folder / name).write_bytes(content)
            (folder / "E00.chk").write_bytes(self._server.checkpoint())

    def _split(self) -> None:
        with self._report.step("mirror mail") as step:
            for name, image in self._images.items():
                self._do("volume", "add", name, image, "--group", "mail")
                mirror = self._place / f"{name}-m2.img"
                self._do("mirror", "add", name, mirror, "--label", "m2")
            step.detail = "both volumes in the group mail"
        with self._report.step("snapshot mail"):
            self._do("snapshot", "create", "mail", "--label", "noon")
        with self._report.step("verify mail") as step:
            found = self._do("snapshot", "verify", "mail@noon", "--check", "ese")["set"]
            verdict = found["checks"][-1]
            step.detail = verdict["detail"]
        self._report.check("the set's databases and logs recover", verdict["ok"], step.detail)

    def _work_on(self) -> None:
        """The server closes four more logs and goes on in the next."""
        with self._report.step("mail goes on") as step:
            fresh = self._place / "fresh.img"
            shutil.copyfile(self._images["maillog"], fresh)
            self._put_logs(fresh, _NOW)
            self._write("maillog", fresh.read_bytes())
            fresh.unlink()
            step.detail = f"logs up to {_NOW} since the snapshot's {_NOON}"

    def _write(self, name: str, content: bytes) -> None:
        """Write through the volume what differs, as the server's file system does."""
        from exshadow import Engine

        old = self._bytes(name)
        with Engine() as engine:
            volume = engine.open(str(self._place / "state" / f"{name}.exv"))
            for at in range(0, len(content), _PIECE):
                if (piece := content[at : at + _PIECE]) != old[at : at + _PIECE]:
                    volume.write(at, piece)
            volume.flush()

    def _damage(self) -> None:
        with self._report.step("damage mail") as step:
            content = bytearray(self._bytes("maildb"))
            page = self._server.database()[8 * PAGE : 9 * PAGE]
            at = content.find(page)
            content[at : at + PAGE] = os.urandom(PAGE)
            self._write("maildb", bytes(content))
            step.detail = "noise over a page of the database"
        self._judge_production("production", sound=False)

    def _judge_production(self, when: str, *, sound: bool) -> None:
        with (
            self._mounted(self._images["maildb"], "ro") as databases,
            self._mounted(self._images["maillog"], "ro") as logs,
        ):
            found = self._do("ese", "check", databases, logs, status=0 if sound else 5)
        bad = [one["findings"][-1] for one in found["files"] if not one["ok"]]
        ranges = [one["required"] for one in found["sets"] if one["required"]]
        claim = "recover together" if sound else "are damaged"
        seen = bad[0] if bad else f"logs {ranges[0][0]}-{ranges[0][1]} present and sound"
        name = f"{when}: databases and logs {claim}"
        self._report.check(name, found["ok"] is sound, seen)

    def _roll_forward(self) -> None:
        with self._report.step("plan mail") as step:
            words = ("restore", "mail@noon", "--roll-forward")
            plan = self._do(*words, "--dry-run")["plan"]
            step.detail = f"{len(plan['steps'])} steps, {plan['estimate']}"
        with self._report.step("roll forward") as step:
            done = self._do(*words)
            step.moved = done["job"]["bytes_copied"]
            step.detail = done["verdict"]["detail"]
        expected = f"required range {spelled(6, _NOW)} present and sound"
        verdict = done["verdict"]
        self._report.check("rolled forward", verdict["ok"] and expected in verdict["detail"],
                           verdict["detail"])  # fmt: skip


def _run(*command: str | Path) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise IntegrityError(f"{words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
