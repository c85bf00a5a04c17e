"""Runs the command line in forks of one process that has everything imported already.

Each command is a process of its own, with its own locks, signals and exit status, but does not pay
for starting Python and importing again: half a second saved, a thousand times in these tests.
Commands whose start is the point run as ``python -m exshadow`` (conftest.Cli.start).
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

REQUEST_BYTES = 1 << 20
PRELOADED = (
    "alembic",
    "cyclopts",
    "fastapi",
    "httpx",
    "numpy",
    "prometheus_client",
    "rich",
    "sqlalchemy",
    "sqlite3",
    "uvicorn",
)


class ForkServer:
    """The client's side, used by one thread."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(100)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # threads would not survive a fork
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest
            )

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Run one command to its end: exit status (negative for a signal), stdout, stderr."""
        request = {"arguments": list(arguments), "environment": dict(environment)}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            status = self._ask(request, [out.fileno(), err.fileno()])
            texts = [
                os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (out, err)
            ]
        return status, texts[0].decode(), texts[1].decode()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int
    ) -> int:
        """Start one command that runs on beside others: its process id."""
        request = {"arguments": list(arguments), "environment": dict(environment), "stay": True}
        return self._ask(request, [out, err])

    def wait(self, process: int) -> int:
        """Wait for one that was started: exit status (negative for a signal)."""
        return self._ask({"wait": process}, [])

    def _ask(self, request: object, files: list[int]) -> int:
        socket.send_fds(self._line, [json.dumps(request).encode()], files)
        return int(self._line.recv(64))

    def close(self) -> None:
        self._line.close()
        self._process.wait(30)


def read_all(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode()


def serve(line: socket.socket) -> None:
    """Answer requests until the client goes away."""
    preload()
    while True:
        data, files, _, _ = socket.recv_fds(line, REQUEST_BYTES, 2)
        if not data:
            return
        request = json.loads(data)
        if "wait" in request:
            line.send(str(exit_status(request["wait"])).encode())
            continue
        child = os.fork()
        if child == 0:
            line.close()
            run_command(request["arguments"], request["environment"], files)
        for file in files:
            os.close(file)
        answer = child if request.get("stay") else exit_status(child)
        line.send(str(answer).encode())


def exit_status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def preload() -> None:
    import exshadow

    for package in PRELOADED:
        importlib.import_module(package)
    for module in pkgutil.walk_packages(exshadow.__path__, "exshadow."):
        if not module.name.endswith(("__main__", "alembic.env")) and ".versions" not in module.name:
            importlib.import_module(module.name)


def run_command(arguments: list[str], environment: dict[str, str], files: list[int]) -> None:
    """In the child: become the command. Does not return."""
    from exshadow.cli import signals
    from exshadow.cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    for target, file in enumerate(files, 1):
        os.dup2(file, target)
        os.close(file)
    signals.install()  # as the console script does
    status = 70
    try:
        status = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)
