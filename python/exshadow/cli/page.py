"""Where help pages go."""

from __future__ import annotations

import io
import re
from typing import Any

from exshadow.cli.context import context

_LINE_END = re.compile(r"(?<=\S)\n(?=[^\s-])")
"""Inside a paragraph; not before the items of a list, nor what is set further in."""


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

    def print(self, *pieces: Any, **how: Any) -> None:
        """Paragraphs fill the lines of the terminal, however they are broken in the source."""
        for piece in pieces:
            text: Any = getattr(piece, "primary_renderable", None)
            if isinstance(getattr(text, "plain", None), str):
                text.plain = _LINE_END.sub(" ", text.plain)
        self.__getattr__("print")(*pieces, **how)

    def __getattr__(self, name: str) -> Any:
        if self._console is None:
            from rich.console import Console

            if context.json:
                self._console = Console(file=self._kept, width=100, color_system=None)
            else:
                self._console = Console(stderr=self._to_stderr)
        return getattr(self._console, name)
