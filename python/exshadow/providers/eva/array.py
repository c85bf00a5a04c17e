"""Looks at the array and changes it, one command at a time, each followed by a look.

A command's answer alone is never believed: :meth:`Array.change` ends when the effect is seen in the
listings, also when the session was lost or the command did not come back. An effect that is there
although the command failed counts as done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from exshadow.commands import CommandRunner
from exshadow.errors import NotFoundError, ProviderError, RefusedError, TimedOutError
from exshadow.providers.eva import objects, parsing
from exshadow.providers.eva.objects import DiskGroup, System, Vdisk
from exshadow.providers.eva.session import (
    ArrayRefusedError,
    NotAnsweredError,
    OtherManagerError,
    Session,
    SessionLostError,
)
from exshadow.providers.eva.settings import EvaSettings, Kind
from exshadow.providers.templates import Book, Value

_NONE = "-"  # the text of a command that this version does not have


@dataclass(frozen=True, slots=True)
class View:
    """All vdisks, snapshots and containers at one look."""

    vdisks: tuple[Vdisk, ...]

    def by_wwn(self, wwn: str) -> Vdisk | None:
        return next((one for one in self.vdisks if one.wwn and one.wwn == wwn), None)

    def by_path(self, path: str) -> Vdisk | None:
        return next((one for one in self.vdisks if one.path == path), None)

    def named(self, name: str) -> Vdisk | None:
        """By short name; names are unique in what we make."""
        return next((one for one in self.vdisks if one.name == name), None)

    def copies_of(self, source: Vdisk) -> list[Vdisk]:
        """What hangs on it, by lineage: the parent's name, in full or without ``ACTIVE``."""
        paths = {source.path, source.path.removesuffix("\\ACTIVE")}
        return [one for one in self.vdisks if one.parent in paths and one.id != source.id]


Check = Callable[[View], bool]
"""Whether a command's effect is there."""
Job = tuple[Check, Mapping[str, Value]]
"""A command's effect, and its values."""


class Array:
    """One array behind one manager."""

    def __init__(self, settings: EvaSettings, book: Book, commands: CommandRunner) -> None:
        self.settings = settings
        self.book = book
        self._commands = commands
        self._session = Session(settings, book, commands)
        self._known: View | None = None

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def has(self, name: str) -> bool:
        """Whether this version has the command."""
        return name in self.book.command and self.book.command[name].text != _NONE

    # --- looking ---

    def look(self) -> View:
        """Every vdisk now. A listing that could not be read raises: absence must be certain."""
        found: dict[str, Vdisk] = {}
        clones = self.settings.kind is Kind.SNAPCLONE
        for listing in ("list_vdisks", "list_snapshots", "list_containers"):
            if self.has(listing):
                for record in self._records(listing):
                    one = objects.vdisk(record, self.book, clones=clones)
                    if one.path:
                        found[one.id or one.path] = one
        self._known = View(tuple(sorted(found.values(), key=lambda one: one.path)))
        return self._known

    def known(self) -> View:
        """The last look, or a new one when we changed something since. A listing of a big array
        takes seconds, so a verb looks once when it begins and once after each change."""
        return self._known or self.look()

    def disk_groups(self) -> dict[str, DiskGroup]:
        """By full path."""
        groups = (objects.disk_group(one) for one in self._records("list_disk_groups"))
        return {one.path: one for one in groups}

    def hosts(self) -> tuple[str, ...]:
        """Full paths."""
        return tuple(parsing.value(one, "objectname") for one in self._records("list_hosts"))

    def system(self) -> System:
        """Its own record. NotFoundError when the manager does not know it."""
        systems = [objects.system(one, self.book) for one in self._records("list_systems")]
        for one in systems:
            if one.name == self.settings.system:
                return one
        known = ", ".join(one.name for one in systems) or "none"
        raise NotFoundError(
            f"manager {self.settings.manager} has no array {self.settings.system}",
            hint=f"it has: {known}",
        )

    def _records(self, name: str) -> tuple[Element, ...]:
        try:
            try:
                said = self._ask(name, {})
            except SessionLostError:
                said = self._ask(name, {})  # a look may be repeated
        except ArrayRefusedError as problem:
            if self.book.matches("no_such_object", problem.said):
                return ()  # of that kind there are none
            raise
        try:
            return parsing.objects(said)
        except ProviderError as problem:
            raise ProviderError(
                problem.message, hint=self._commands.hint(problem.hint)
            ) from problem

    # --- changing ---

    def change(self, name: str, check: Check, /, **values: Value) -> View:
        """Give the command unless its effect is there; wait until it is. The look that saw it.

        ProviderError (the array's words) when it was refused and has no effect, TimedOutError when
        the effect does not show.
        """
        return self.change_all(name, [(check, values)])

    def change_all(self, name: str, jobs: Sequence[Job]) -> View:
        """The same for several, with one look after all of them."""
        lost = 0  # a session that is lost without effect is tried again once
        while True:
            missing = [values for check, values in jobs if not check(self.known())]
            if not missing:
                return self.known()
            try:
                for values in missing:
                    self._known = None
                    self._ask(name, values)
                break
            except (SessionLostError, ArrayRefusedError, NotAnsweredError) as problem:
                view = self.look()
                left = sum(not check(view) for check, _ in jobs)
                lost += isinstance(problem, SessionLostError)
                again = isinstance(problem, SessionLostError) and lost == 1
                if left == len(missing) and not again:
                    raise
        said = self.book.line(name, missing[0])
        return self.wait(
            lambda view: all(check(view) for check, _ in jobs), self.settings.settle_seconds, said
        )

    def order(self, name: str, /, **values: Value) -> None:
        """Give a command whose effect no listing shows for certain. A lost session repeats it:
        only for commands that may be repeated."""
        self._known = None
        try:
            self._ask(name, values)
        except SessionLostError:
            self._ask(name, values)

    def wait(self, check: Check, limit: float, what: str) -> View:
        """Look until ``check`` holds. TimedOutError after ``limit`` seconds."""
        deadline = time.monotonic() + limit
        pause = 0.02
        view = self.known()
        while not check(view):
            if time.monotonic() >= deadline:
                raise TimedOutError(
                    f"the array shows no effect after {limit:g} s: {what}",
                    hint=self._commands.hint(
                        "look at the vdisk in Command View, then repeat the command"
                    ),
                )
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            pause = min(pause * 1.7, 5.0)
            view = self.look()
        return view

    def _ask(self, name: str, values: Mapping[str, Value]) -> str:
        if not self.has(name):
            raise RefusedError(
                f"SSSU {self.settings.version} has no known command for {name!r}",
                hint=f"name it in your commands file: [command.{name}]",
            )
        command = self.book.line(name, values)
        limit = self.book.limit(name)
        try:
            return self._session.ask(command, limit)
        except OtherManagerError as other:
            if not self.settings.takeover:
                raise RefusedError(other.message, hint=other.hint) from other
            self._session.ask(self.book.line("take_over", {"system": self.settings.system}), limit)
            return self._session.ask(command, limit)


def exists(name: str) -> Check:
    """A check that holds once something has this short name."""
    return lambda view: view.named(name) is not None
