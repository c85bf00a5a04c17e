"""One interactive SSSU: prompts answered, commands one by one, every answer with its status.

* The password goes to the prompt, never into the arguments or a file; it is masked in the log.
* A prompt counts only as a whole beginning of a line with nothing after it, so that an object named
  like a prompt fools nobody.
* After ``SET OPTIONS ... display_status`` every command must end in a status line. One without is
  not believed, nor is a status 0 beside a line that starts with ``Error``.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from typing import Any

from exshadow.command_log import CommandLog
from exshadow.commands import CommandRunner
from exshadow.errors import ProviderError, TimedOutError, UnsupportedError
from exshadow.providers.eva.parsing import LIMIT
from exshadow.providers.eva.settings import EvaSettings
from exshadow.providers.templates import Book

_LONGEST_LINE = 4000  # a terminal in canonical mode takes 4095 bytes
_TAIL = 4096
_WIDE = 4096
_CALM = 0.3  # seconds without more output after which a doubtful prompt is looked at again
_LOGIN = 60.0


class SessionLostError(ProviderError):
    """sssu ended or was cut off: whether the last command had its effect must be read back."""


class NotAnsweredError(TimedOutError):
    """A command did not come back in time: its effect must be read back."""


class ArrayRefusedError(ProviderError):
    """The array or its manager answered with an error. ``said``: its words."""

    def __init__(self, message: str, *, said: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.said = said


class OtherManagerError(ArrayRefusedError):
    """Another management agent owns the array. ``manager``: its name and address."""

    manager = ""


@dataclass(slots=True)
class Session:
    """Opened by the first :meth:`ask`; one that was lost is opened anew by the next."""

    settings: EvaSettings
    book: Book
    commands: CommandRunner
    _child: Any = None
    _heard: str = ""  # of an answer that did not come to its end

    def ask(self, command: str, limit: float) -> str:
        """What the array answered, without echo, prompt and status. SessionLostError,
        NotAnsweredError, OtherManagerError, ArrayRefusedError."""
        if self._child is None:
            self._open()
        return self._command(command, self.settings.step_seconds or limit, self._system_prompt())

    def close(self) -> None:
        """Leave in order when possible, else end the process. May be called twice."""
        if self._child is None:
            return
        with contextlib.suppress(Exception):
            self._child.sendline(self.book.line("quit", {}))
            self._child.expect_exact([""], timeout=0.05)
        self._drop()

    # --- opening ---

    def _open(self) -> None:
        password = self.settings.password()
        if password not in self.commands.secrets:
            self.commands.secrets = (*self.commands.secrets, password)
        folder = self.settings.work_folder()
        self.commands.file = self.commands.file or CommandLog(folder)
        self._child = _spawn(self.commands.require("sssu"), str(folder))
        try:
            self._log_in(password)
            none = self._pattern("no_system_prompt")
            self._command(self._line("options"), self._limit("options"), none, status=False)
            self._select(none)
        except BaseException:
            self._drop()
            raise

    def _log_in(self, password: str) -> None:
        answers = {
            "manager_prompt": self.settings.manager,
            "username_prompt": self.settings.user,
            "password_prompt": password,
        }
        prompts = {name: self._pattern(name) for name in answers}
        prompts["no_system_prompt"] = self._pattern("no_system_prompt")
        prompts["press_return"] = self._pattern("press_return")
        for _ in range(len(prompts) + 1):
            seen, text = self._until(prompts, _LOGIN)
            if self.book.matches("login_failed", text) or seen == "press_return":
                raise ProviderError(
                    f"sssu could not log in to {self.settings.manager}: {self._shown(text)}",
                    hint="it says the same for a wrong name, a wrong password and no manager there",
                )
            if seen == "no_system_prompt":
                return
            if seen == "password_prompt" and os.name != "nt":
                self._child.waitnoecho(timeout=1)
                self._child.setecho(False)
            self._child.sendline(answers[seen])
            if seen == "password_prompt" and os.name != "nt":
                self._echo_again()
        raise ProviderError("sssu asked for a login again and again")

    def _echo_again(self) -> None:
        """After the password line was taken: with echo, every prompt begins a line of its own."""
        time.sleep(0.01)
        with contextlib.suppress(OSError):
            self._child.setecho(True)

    def _select(self, none: str) -> None:
        command = self._line("select_system", system=self.settings.system)
        either = f"(?:{self._system_prompt()}|{none})"
        try:
            self._command(command, self._limit("select_system"), either)
        except OtherManagerError:
            if not self.settings.takeover:
                raise
            take = self._line("take_over", system=self.settings.system)
            self._command(take, self._limit("take_over"), either)
            self._command(command, self._limit("select_system"), either)

    # --- talking ---

    def _command(self, command: str, limit: float, prompt: str, *, status: bool = True) -> str:
        if len(command.encode()) > _LONGEST_LINE:
            raise UnsupportedError(
                f"the command for this group has {len(command)} characters, more than sssu takes",
                hint="split the group, or shorten the names of volumes",
            )
        begun = time.monotonic()
        try:
            self._child.sendline(command)
        except OSError as problem:
            self._drop()
            raise SessionLostError(f"sssu ended before {command!r}: {problem}") from problem
        text, code, self._heard = "", -1, ""
        try:
            _, text = self._until({"prompt": prompt}, limit, status=status)
            code = self._status(text)
        finally:
            took = time.monotonic() - begun
            self.commands.keep(["sssu", command], code, text or self._heard, took)
        self._judge(command, text, code, status)
        return _without_echo(text, command)

    def _judge(self, command: str, text: str, code: int, status: bool) -> None:
        said = " ".join(found[1] for found in self.book.find("error", text))
        if not said and code == 0:
            return
        if not said and code < 0:
            if not status:
                return
            self._drop()
            raise ProviderError(
                f"sssu printed no status after {command!r}: {self._shown(text)}",
                hint=self.commands.hint(
                    "its options were not taken: see [command.options] and [pattern.status]"
                ),
            )
        for other in self.book.find("another_manager", text):
            found = OtherManagerError(
                f"array {self.settings.system} is managed by another agent: "
                f"{other['name'] or 'unnamed'} ({other['ip'] or 'no address'})",
                said=said,
                hint="take it over only with its operator's consent: takeover = yes",
            )
            found.manager = other["name"] or ""
            raise found
        raise ArrayRefusedError(
            f"the array refused {self.commands.masked(command)!r}: {said or f'status {code}'}",
            said=said,
            hint=self.commands.hint(),
        )

    def _status(self, text: str) -> int:
        """The last status line's number, -1 without one; an error's status wins."""
        codes = [int(found[1]) for found in self.book.find("status", text)]
        return max(codes) if codes else -1

    def _until(
        self, prompts: dict[str, str], limit: float, *, status: bool = False
    ) -> tuple[str, str]:
        """Which prompt ended the output, and the output before it."""
        import pexpect

        waits = {name: re.compile(rf"(?:\A|[\r\n])({one})\Z", re.IGNORECASE) for name, one in
                 prompts.items()}  # fmt: skip
        tail, deadline = "", time.monotonic() + limit
        pieces: list[str] = []
        size = 0
        while True:
            left = deadline - time.monotonic()
            found = next(
                ((name, match) for name, one in waits.items() if (match := one.search(tail))), None
            )
            sure = found and (not status or self._ends_in_status(tail))
            if found and sure:
                break
            try:
                wait = min(left, _CALM) if found else left
                piece = self._child.read_nonblocking(65536, timeout=max(0.0, wait))
            except pexpect.TIMEOUT:
                if found:
                    break
                self._drop()
                self._heard = "".join(pieces)
                said = self._shown(self._heard)
                raise NotAnsweredError(
                    f"sssu did not answer within {limit:g} s (so far: {said})",
                    hint=self.commands.hint("the effect is read back before anything is repeated"),
                ) from None
            except (pexpect.EOF, OSError) as problem:
                self._heard = "".join(pieces)
                said = self._shown(self._heard)
                self._drop()
                if self.book.matches("login_failed", self._heard):
                    raise ProviderError(f"sssu could not log in: {said}") from problem
                raise SessionLostError(
                    f"sssu ended by itself: {said}", hint=self.commands.hint()
                ) from problem
            pieces.append(piece)
            size += len(piece)
            if size > LIMIT:
                self._drop()
                raise ProviderError(f"sssu printed more than {LIMIT} characters")
            tail = (tail + piece)[-_TAIL:]
        text = "".join(pieces)
        name, match = found
        return name, text[: len(text) - (len(match.string) - match.start(1))]

    def _ends_in_status(self, tail: str) -> bool:
        """Whether the line before the prompt is a status line."""
        lines = [line for line in tail.splitlines() if line.strip()]
        return len(lines) > 1 and self.book.matches("status", lines[-2])

    # --- small things ---

    def _pattern(self, name: str) -> str:
        return self.book.pattern[name].regex

    def _system_prompt(self) -> str:
        return re.escape(self.settings.system) + self._pattern("system_prompt")

    def _line(self, name: str, **values: str) -> str:
        return self.book.line(name, values)

    def _limit(self, name: str) -> float:
        return self.book.limit(name)

    def _shown(self, text: str) -> str:
        plain = "".join(one if one.isprintable() else " " for one in self.commands.masked(text))
        return " ".join(plain.split())[-300:] or "nothing"

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(Exception):
            if hasattr(child, "close"):
                child.close(force=True)
            else:
                child.kill(9)
                child.wait()


def _spawn(words: list[str], folder: str) -> Any:
    import pexpect

    try:
        if os.name == "nt":  # no terminals there: pipes
            from pexpect.popen_spawn import PopenSpawn

            return PopenSpawn(words, cwd=folder, encoding="utf-8", codec_errors="replace")
        child: Any = pexpect.spawn(
            words[0],
            words[1:],
            cwd=folder,
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(50, _WIDE),
        )
        child.delaybeforesend = None
        for one in (child, child.ptyproc):
            one.delayafterclose = one.delayafterterminate = 0.02
    except (pexpect.ExceptionPexpect, OSError) as problem:
        raise ProviderError(f"cannot start {words[0]}: {problem}") from problem
    return child


def _without_echo(text: str, command: str) -> str:
    first, rest = (text.lstrip("\r\n") + "\n").split("\n", 1)
    return rest if first.strip() == command else text
