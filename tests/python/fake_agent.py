"""A QEMU guest agent without a guest, to be told what to refuse, answer or keep to itself."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any


class FakeAgent:
    """Speaks the agent's protocol; the real one is in the interop tests."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent.sock"
        self.state = "thawed"
        self.asked: list[str] = []
        self.refuses: dict[str, str] = {}
        self.silent: set[str] = set()
        self.instead: dict[str, bytes] = {}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                for line in lines:
                    self._answer(client, line.replace(b"\xff", b""))

    def _answer(self, client: socket.socket, line: bytes) -> None:
        request = json.loads(line)
        command = request["execute"]
        if command == "guest-sync-delimited":
            number = request["arguments"]["id"]
            client.sendall(b'{"return": 1}\n\xff' + json.dumps({"return": number}).encode() + b"\n")
            return
        self.asked.append(command)
        if command in self.silent:
            return
        answer = self.instead.get(command) or json.dumps(self._do(command)).encode()
        client.sendall(answer + b"\n")

    def _do(self, command: str) -> dict[str, Any]:
        if command in self.refuses:
            return {"error": {"class": "GenericError", "desc": self.refuses[command]}}
        if command == "guest-fsfreeze-status":
            return {"return": self.state}
        self.state = "frozen" if command == "guest-fsfreeze-freeze" else "thawed"
        return {"return": 2}
