"""What is to be checked, and how. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from exshadow.errors import InvalidError

CHECKS = ("bytes", "filesystem", "ese", "postgresql", "sqlite", "script")
TIMEOUT = 3600
"""Seconds that one check may take."""
_LOOK_INTO_FOLDERS = {"ese", "postgresql", "sqlite"}


@dataclass(frozen=True, slots=True)
class CheckWish:
    """`timeout`: seconds for each check. `folders`: PATH or VOLUME:PATH within the copies, where
    databases are looked for; everywhere when empty. `globs`: which files are SQLite databases; by
    their content when empty. `script`: the command of the check script."""

    checks: tuple[str, ...] = ("bytes",)
    timeout: int = TIMEOUT
    folders: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    script: str | None = None

    def require_valid(self) -> None:
        """InvalidError for what makes no sense."""
        for check in self.checks:
            if check not in CHECKS:
                raise InvalidError(
                    f"check {check!r} is not available", hint=f"available: {', '.join(CHECKS)}"
                )
        if len(set(self.checks)) != len(self.checks) or not self.checks:
            raise InvalidError("name every check once")
        if self.timeout <= 0:
            raise InvalidError("the time limit of a check is at least a second")
        asked = set(self.checks)
        if ("script" in asked) != (self.script is not None):
            raise InvalidError("the check script and --script PATH go together")
        if self.folders and not asked & _LOOK_INTO_FOLDERS:
            raise InvalidError("--folder goes with the checks ese, postgresql and sqlite")
        if self.globs and "sqlite" not in asked:
            raise InvalidError("--glob goes with the check sqlite")
        for folder in self.folders:
            if ".." in folder.split("/") or not folder.strip("/: "):
                raise InvalidError(f"{folder!r} is no folder within a copy")
