"""A small client of QEMU's machine protocol, and qemu-storage-daemon under it.

Protocol: QEMU's docs/interop/qmp-spec: greeting, ``qmp_capabilities``, then one JSON object a line;
events may come between a command and its answer.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_TIMEOUT_S = 600.0


class QmpError(RuntimeError):
    """The daemon refused a command, or a job of it failed."""


class QmpClient:
    """One connection. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")
        self._events: list[dict[str, Any]] = []
        if "QMP" not in self._message():
            raise QmpError("no QMP greeting")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Send a command, wait for its answer. Underscores in names become hyphens."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        name = command if command == "qmp_capabilities" else command.replace("_", "-")
        request = {"execute": name, "arguments": named}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = self._message()
            if "error" in message:
                raise QmpError(f"{name}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]
            self._events.append(message)

    def wait_for_job(self, job: str) -> None:
        """Until the job is concluded; then dismiss it. QmpError when it failed."""
        while not self._concluded(job):
            self._events.append(self._message())
        states = {one["id"]: one for one in self.execute("query-jobs")}
        self.execute("job-dismiss", id=job)
        if failure := states[job].get("error"):
            raise QmpError(f"job {job}: {failure}")

    def _concluded(self, job: str) -> bool:
        for event in self._events:
            if event.get("event") == "JOB_STATUS_CHANGE":
                data = event["data"]
                if data["id"] == job and data["status"] == "concluded":
                    self._events.clear()
                    return True
        return False

    def _message(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise QmpError("the daemon closed the connection")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class StorageDaemon:
    """qemu-storage-daemon with two raw nodes `src` and `dst`, `src` also exported over NBD as `v`.

    It keeps its sockets in `folder`; leaving the context stops it.
    """

    def __init__(self, source: Path, target: Path, *, direct: bool, aio: str, folder: Path) -> None:
        self._qmp_path, self.nbd_path = folder / "q.sock", folder / "n.sock"
        for path in (self._qmp_path, self.nbd_path):
            path.unlink(missing_ok=True)
        cache = ",cache.direct=on" if direct else ""
        command = ["qemu-storage-daemon"]
        command += ["--chardev", f"socket,id=c,path={self._qmp_path},server=on,wait=off"]
        command += ["--monitor", "chardev=c"]
        for node, path in (("src", source), ("dst", target)):
            file = f"driver=file,node-name=f{node},filename={path},aio={aio}{cache}"
            command += [
                "--blockdev",
                file,
                "--blockdev",
                f"driver=raw,node-name={node},file=f{node}",
            ]
        command += ["--nbd-server", f"addr.type=unix,addr.path={self.nbd_path},max-connections=0"]
        command += ["--export", "type=nbd,id=e,node-name=src,name=v,writable=on"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            self.qmp = self._connected()
        except BaseException:
            self._end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _connected(self) -> QmpClient:
        for _ in range(500):
            if self._process.poll() is not None:
                raise QmpError(f"qemu-storage-daemon ended with {self._process.returncode}")
            try:
                return QmpClient(self._qmp_path)
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.01)
        raise QmpError("qemu-storage-daemon did not open its socket")

    def backup(self, **arguments: Any) -> None:
        """One blockdev-backup from `src` to `dst`, waited for."""
        self.qmp.execute(
            "blockdev-backup",
            job_id="j",
            device="src",
            target="dst",
            auto_dismiss=False,
            **arguments,
        )
        self.qmp.wait_for_job("j")

    def close(self) -> None:
        self.qmp.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
