"""The imitated SSSU program: prompts, echo, status lines, one-shot arguments, traps of a session.

Interactive: ``Manager:``, ``Username:``, ``Password:`` (without echo), banner, prompt. One-shot:
every argument is a command line. ``<cmd> | grep "<text>"``, FILE, PAUSE and EXIT are known.
The default DISPLAY_WIDTH of 80 folds long lines.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

from eva_array import host
from eva_array import state as eva
from eva_array.commands import Help, Session, Syntax
from eva_array.rules import Refused

BANNER = "\nSSSU for HP StorageWorks Command View EVA\nVersion: 6.0.2\nBuild: 5\n"
CHANGES = re.compile(r"(?i)\s*(ADD|DELETE|SET\s+(VDISK|MULTISNAP|MULTIMIRROR))\b")


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] != "--state":
        sys.stderr.write("usage: sssu --state FOLDER [command line ...]\n")
        return 2
    shell = Shell(Path(arguments[1]))
    try:
        return shell.one_shot(arguments[2:]) if arguments[2:] else shell.interactive()
    except (EOFError, KeyboardInterrupt):
        return 1


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = Session(folder)
        with eva.edit(folder) as state:
            self.words = state["words"]

    def prompt(self) -> str:
        return f"{self.session.system or 'NoSystemSelected'}{self.words['prompt']}"

    def one_shot(self, lines: list[str]) -> int:
        say(BANNER)
        for line in lines:
            say(f"{self.prompt()}{line}\n")
            done = self.handle(line)
            if done is None or not (done or self.session.goes_on):
                break
        return 0

    def interactive(self) -> int:
        say("Manager: ")
        manager = heard()
        say("Username: ")
        user = heard()
        password = secret("Password: ")
        with eva.edit(self.folder) as state:
            try:
                self.session.log_in(state, manager, user, password)
            except Refused as problem:
                say(f"\nError {problem}\nPress return to exit")
        if not self.session.manager:
            heard()
            return 1
        say(BANNER)
        while True:
            say(self.prompt())
            line = heard()
            if self.handle(line) is None:
                return 0

    def handle(self, line: str) -> bool | None:
        """False after an error, None at the end."""
        words = line.split()
        if not words:
            return True
        if words[0].upper() in ("EXIT", "QUIT"):
            return None
        if words[0].upper() == "PAUSE" and len(words) == 2:
            time.sleep(float(words[1]))
            return True
        if words[0].upper() == "FILE" and len(words) == 2:
            text = Path(words[1].strip('"')).read_text()
            return all(self.handle(one) for one in text.splitlines())
        command, _, text = line.partition("| grep ")
        output, good = self.command(command.rstrip())
        wanted = text.strip().strip('"')
        for one in output.splitlines():
            if wanted in one:
                say("\n".join(folded(one, self.session.width)) + "\n")
        if self.session.status:
            say(f"{self.words['status']}{0 if good else 1}\n")
        if self.session.xml_status:
            say(f"<sssucommandstatus>{0 if good else 1}</sssucommandstatus>\n")
        return good

    def command(self, line: str) -> tuple[str, bool]:
        after = ""
        with eva.edit(self.folder) as state:
            state["log"].append(line)
            if CHANGES.match(line):
                state["changes"] += 1
                after = self.trap(state)
            eva.tick(state, self.folder)
            output, good = self.tried(state, line)
            host.update(state, self.folder)
            pause = state["times"]["answer"]
        time.sleep(pause)
        happen(after)
        return output, good

    def trap(self, state) -> str:
        traps = state["traps"]
        if state["changes"] != traps["at"]:
            return ""
        if traps["what"] == "takeover":
            state["array"]["managed_by"] = "cv.other"
            return ""
        if not traps["what"].endswith("_after"):
            (self.folder / "array.json").write_text(eva.json.dumps(state))
            happen(traps["what"])
        return traps["what"].removesuffix("_after")

    def tried(self, state, line: str) -> tuple[str, bool]:
        word = state["traps"]["error_but_zero"]
        ignored = state["traps"]["ignored"]
        try:
            if ignored and ignored in line.upper():
                return "", True
            if word and word in line.upper():
                return "Error: Operation failed\n", True
            return self.session.run(state, line), True
        except Refused as problem:
            return f"Error: {problem}\n", False
        except Help as problem:
            return "The options are:\n" + "".join(f"  {one}\n" for one in problem.args[0]), True
        except Syntax as problem:
            column = problem.args[0] if problem.args else 0
            return f"{' ' * column}^\nError: Syntax error at or near here\n", False


def happen(what: str) -> None:
    if what == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
    if what in ("kill", "lose"):
        os._exit(9)
    if what == "hang":
        time.sleep(3600)


def folded(line: str, width: int) -> list[str]:
    return [line[at : at + width] for at in range(0, len(line), width)] or [""]


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def secret(prompt: str) -> str:
    """As getpass does it: the terminal is silent before the prompt is shown."""
    if not sys.stdin.isatty():
        say(prompt)
        return heard()
    import termios

    old = termios.tcgetattr(0)
    termios.tcsetattr(0, termios.TCSADRAIN, [*old[:3], old[3] & ~termios.ECHO, *old[4:]])
    say(prompt)
    line = heard()
    termios.tcsetattr(0, termios.TCSADRAIN, old)
    say("\n")
    return line


def heard() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
