"""Where help pages go."""

from __future__ import annotations

import io
from typing import Any

from exshadow.cli.context import context


class HelpPage:
    """A rich console made when a page is printed: most commands never load rich.

    Pages that were asked for go to stdout, others to stderr; in JSON mode they are kept as text.
    """

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr
        self._kept = io.StringIO()
        self._console: Any = None

    def text(self) -> str:
        """What was printed in JSON mode."""
        return self._kept.getvalue()

    def __getattr__(self, name: str) -> Any:
        if self._console is None:
            from rich.console import Console

            if context.json:
                self._console = Console(file=self._kept, width=100, color_system=None)
            else:
                self._console = Console(stderr=self._to_stderr)
        return getattr(self._console, name)
