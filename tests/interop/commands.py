"""``exshadow`` as an administrator uses it: commands, a daemon, attached volumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.beds import attached, mounted, until


@dataclass(frozen=True)
class Commands:
    """``exshadow`` on one state folder, each a process as a person would start it."""

    state: Path

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        environment = os.environ | {"EXSHADOW_STATE": str(self.state)}
        command = [sys.executable, "-m", "exshadow", "--json", *map(str, words)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words: str | Path) -> dict[str, Any]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{words}: {process.returncode} {said}"
        return json.loads(said)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The daemon, until SIGTERM ends it with status 0."""
        with self.start("serve") as process:
            try:
                until(
                    lambda: process.poll() is not None or (self.state / "control.sock").exists(),
                    "exshadow serve",
                )
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
        assert process.returncode == 0

    @contextmanager
    def attached(self, names: list[str]) -> Iterator[list[str]]:
        """Devices of all of them, by as many commands at the same time."""
        with ExitStack() as stack:
            begun = [self.start("attach", name, "--writable") for name in names]
            said = [(one, one.communicate(timeout=100)[0]) for one in begun]
            devices = []
            for name, (process, document) in zip(names, said, strict=True):
                if process.returncode == 0:
                    stack.callback(self, "detach", name)
                    devices.append(json.loads(document)["attached"]["device"])
            assert len(devices) == len(names), said
            yield devices

    @contextmanager
    def placed(self, folder: Path, names: Sequence[str], suffix: str = "") -> Iterator[None]:
        """The file systems of all of them, attached and mounted by name in `folder`."""
        folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            devices = stack.enter_context(self.attached([name + suffix for name in names]))
            for name, device in zip(names, devices, strict=True):
                stack.enter_context(mounted(device, folder / name))
            yield

    @contextmanager
    def view(self, folder: Path, exports: dict[str, str]) -> Iterator[Path]:
        """Throw-away views, mounted by name in `folder`; quicker than by two commands each."""
        folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            for name, export in exports.items():
                uri = f"nbd+unix:///{export}+view?socket={self.state / 'nbd.sock'}"
                device = stack.enter_context(attached(uri, folder.parent))
                stack.enter_context(mounted(device, folder / name))
            yield folder
